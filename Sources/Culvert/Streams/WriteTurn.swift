// SPDX-License-Identifier: Apache-2.0
// Whose turn it is to write (or, over TLS, to read): whole writes, first come, first served, never interleaved.

import Synchronization

/// A turn that one task has at a time, given on in the order of asking.
///
/// Nearly always nobody else wants it: then it is taken and given back by one atomic instruction each, and no lock.
package final class WriteTurn: ParkingPlace, @unchecked Sendable {
  /// Where the turn is. Who has it and nobody waits: `taken`; and only then it can be given back without the lock.
  private enum Place {
    static let free: UInt8 = 0
    static let taken: UInt8 = 1
    /// Whoever has it must look, under the lock, who is next.
    static let awaited: UInt8 = 2
    /// Nobody gets the turn any more. Whoever had it goes on to the end of his.
    static let closed: UInt8 = 3
  }
  private let place = Atomic(Place.free)
  /// Changed under this lock: who waits, and all of `place` but the two short ways.
  private let lock = Lock()
  @exclusivity(unchecked) private var guarded = WaiterQueue()

  @inline(__always)
  private func withWaiters<R>(_ body: (inout WaiterQueue) -> R) -> R {
    lock.take(key)
    defer { lock.give(key) }
    return unsafe body(&guarded)
  }
  private var key: UInt { UInt(bitPattern: ObjectIdentifier(self)) }

  package init() {}

  /// Takes the turn if nobody has it and nobody waits for it.
  @inline(__always)
  package func tryTake() -> Bool {
    place.compareExchange(
      expected: Place.free, desired: Place.taken, successOrdering: .acquiring, failureOrdering: .relaxed
    ).exchanged
  }

  /// Whether somebody waits for it, for tests.
  var isAwaited: Bool { place.load(ordering: .relaxed) == Place.awaited }

  /// Waits for the turn. Throws `.cancelled` and `.closed`.
  @inline(__always)
  package func take(during operation: @autoclosure () -> String) async throws(IoError) {
    if !tryTake() { try await waitForIt(operation()) }
  }

  private func waitForIt(_ operation: @autoclosure () -> String) async throws(IoError) {
    switch await wait(for: ()) {
    case .cancelled: throw IoError(.cancelled, during: operation())
    case .closed: throw IoError(.closed, during: operation())
    default: break
    }
  }

  /// Gives the turn to whoever has waited longest.
  @inline(__always)
  package func give() {
    let (isGiven, _) = place.compareExchange(
      expected: Place.taken, desired: Place.free, successOrdering: .releasing, failureOrdering: .relaxed)
    if !isGiven { giveOn() }
  }

  private func giveOn() {
    let next = withWaiters { waiters in
      if place.load(ordering: .relaxed) == Place.closed { return nil as Waiter? }
      let next = waiters.popFirst()
      let now = next == nil ? Place.free : waiters.isEmpty ? Place.taken : Place.awaited
      place.store(now, ordering: .releasing)
      return next
    }
    next?.wake(.ready)
  }

  /// Sends away those who wait, and those who come.
  package func close() {
    let all = withWaiters { waiters in
      place.store(Place.closed, ordering: .releasing)
      return waiters.removeAll()
    }
    for waiter in all { waiter.wake(.closed) }
  }

  func park(_ waiter: Waiter, for request: Void) -> Parking {
    withWaiters { waiters in
      while true {
        if tryTake() { return .declined(.ready) }
        if waiter.isCancelled { return .declined(.cancelled) }
        let (isAwaited, now) = place.compareExchange(
          expected: Place.taken, desired: Place.awaited, ordering: .acquiringAndReleasing)
        if now == Place.closed { return .declined(.closed) }
        if isAwaited || now == Place.awaited { break }
      }
      waiters.append(waiter)
      return .kept
    }
  }

  func cancelWait(of task: TaskIdentity) {
    withWaiters { $0.remove(task) }?.wake(.cancelled)
  }
}
