// SPDX-License-Identifier: Apache-2.0
// Whose turn it is to write (or, over TLS, to read): whole writes, first come, first served, never interleaved.

import Synchronization

/// A turn that one task has at a time, given on in the order of asking.
///
/// Nearly always nobody else wants it: then it is one word in its owner, and is taken and given back by one atomic instruction
/// each. From the first task on that has to wait there is a queue, which sees to everything.
package struct WriteTurn: ~Copyable, Sendable {
  /// What the word says; any other value is the address of the queue, which is kept by that.
  enum Word {
    static let free: UInt = 0
    static let taken: UInt = 1
    static let closed: UInt = 2
  }
  /// Once it is `closed`, or the queue's address, it stays so.
  private let word = Atomic(Word.free)

  package init() {}

  deinit { queue?.release() }

  /// Takes the turn if nobody has it and nobody waits for it.
  @inline(__always)
  package func tryTake() -> Bool {
    word.compareExchange(
      expected: Word.free, desired: Word.taken, successOrdering: .acquiring, failureOrdering: .relaxed
    ).exchanged || tryTakeFromQueue()
  }

  @inline(never)
  private func tryTakeFromQueue() -> Bool { queue?.with { $0.tryTake() } ?? false }

  /// Waits for the turn. Throws `.cancelled` and `.closed`.
  @inline(__always)
  package func take(during operation: @autoclosure () -> String) async throws(IoError) {
    if !tryTake() { try await takeInTurn(operation()) }
  }

  private func takeInTurn(_ operation: @autoclosure () -> String) async throws(IoError) {
    switch await wait() {
    case .cancelled: throw IoError(.cancelled, during: operation())
    case .closed: throw IoError(.closed, during: operation())
    default: break
    }
  }

  /// Waits for the turn, which is the caller's if this is `.ready`.
  func wait() async -> WakeReason {
    while true {
      let now = word.load(ordering: .acquiring)
      if now == Word.closed { return .closed }
      if let queue = queue(at: now)?.with({ $0 }) { return await queue.wait(for: ()) }
      makeQueue(insteadOf: now)
    }
  }

  /// Nothing, if somebody else was faster.
  func makeQueue(insteadOf now: UInt) {
    let queue = Unretained(keeping: TurnQueue(isTaken: now == Word.taken))
    let address = unsafe UInt(bitPattern: queue.address)
    if !change(from: now, to: address) { queue.release() }
  }

  /// Gives the turn to whoever has waited longest.
  @inline(__always)
  package func give() {
    let (isGiven, _) = word.compareExchange(
      expected: Word.taken, desired: Word.free, successOrdering: .releasing, failureOrdering: .relaxed)
    if !isGiven { giveOn() }
  }

  @inline(never)
  private func giveOn() { queue?.with { $0.give() } }

  /// Sends away those who wait, and those who come. Whoever has the turn goes on to the end of it.
  package func close() {
    while true {
      let now = word.load(ordering: .acquiring)
      if let queue = queue(at: now) { return queue.with { $0.close() } }
      if change(from: now, to: Word.closed) { return }
    }
  }

  private func change(from old: UInt, to new: UInt) -> Bool {
    word.compareExchange(expected: old, desired: new, ordering: .acquiringAndReleasing).exchanged
  }

  /// Whether somebody waits for it, for tests.
  var isAwaited: Bool { queue?.with { $0.isAwaited } ?? false }

  private var queue: Unretained<TurnQueue>? { queue(at: word.load(ordering: .acquiring)) }

  private func queue(at word: UInt) -> Unretained<TurnQueue>? {
    guard word > Word.closed, let address = unsafe UnsafeRawPointer(bitPattern: word) else { return nil }
    return unsafe Unretained(at: address)
  }
}

/// The turn of somebody for whom tasks wait, or have waited.
private final class TurnQueue: ParkingPlace {
  private struct State {
    var isTaken: Bool
    var isClosed = false
    var waiters = WaiterQueue()

    mutating func tryTake() -> Bool {
      if isTaken || isClosed { return false }
      isTaken = true
      return true
    }

    /// Whoever has waited longest, whose turn it is now.
    mutating func give() -> Waiter? {
      let next = waiters.popFirst()
      isTaken = next != nil
      return next
    }
  }
  private let state: Locked<State>

  init(isTaken: Bool) {
    state = Locked(State(isTaken: isTaken))
  }

  var isAwaited: Bool { state.withLock { !$0.waiters.isEmpty } }

  func tryTake() -> Bool { state.withLock { $0.tryTake() } }

  func give() { state.withLock { $0.give() }?.wake(.ready) }

  func close() {
    let all = state.withLock { state in
      state.isClosed = true
      return state.waiters.removeAll()
    }
    for waiter in all { waiter.wake(.closed) }
  }

  func park(_ waiter: Waiter, for request: Void) -> Parking {
    state.withLock { state in
      if state.isClosed { return .declined(.closed) }
      if state.tryTake() { return .declined(.ready) }
      if waiter.isCancelled { return .declined(.cancelled) }
      state.waiters.append(waiter)
      return .kept
    }
  }

  func cancelWait(of task: TaskIdentity) {
    state.withLock { $0.waiters.remove(task) }?.wake(.cancelled)
  }
}
