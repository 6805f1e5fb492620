// SPDX-License-Identifier: Apache-2.0
// Who owns a file descriptor's number, and when it may be closed.
//
// One atomic word holds a closed bit and a count of uses in flight. Every attempt at a system call is a use; the
// loop holds one from uv_poll_init to its close callback. The last use to end after the closed bit was set calls
// close(2). So the number can't be given to somebody else while anybody here may still use it, and "stop the
// handle, then close the descriptor" holds by construction, without any ordering code.

import Synchronization

/// An open file descriptor and the right to close it. A base class, so that what is kept for one that is watched is no second object.
class Descriptor: @unchecked Sendable {
  final let number: Int32
  /// Bit 0: closed. Bit 1: this number is claimed in the table. Bit 2: it is to be kept open. The rest: uses in flight.
  private final let word = Atomic<UInt32>(0)

  private final let gone = Atomic<Bool>(false)

  private static let closedBit: UInt32 = 1
  private static let claimedBit: UInt32 = 2
  private static let keptBit: UInt32 = 4
  private static let oneUse: UInt32 = 8
  private static let flags = closedBit | claimedBit | keptBit

  /// Takes over `number`: nobody else may close it from now on.
  init(adopting number: Int32) {
    self.number = number
  }

  deinit {
    // No use can be in flight: each holds a reference. So this is only "never closed".
    let word = word.load(ordering: .acquiring)
    if word & Self.closedBit == 0 { letGo(word) }
  }

  /// Whether the number is no longer ours: closed, and the last use has ended.
  final var isGone: Bool { gone.load(ordering: .sequentiallyConsistent) }

  final var isClosed: Bool { word.load(ordering: .acquiring) & Self.closedBit != 0 }

  /// Begins a use, if the descriptor has not been closed. Safe from any thread; pair it with `release`.
  @inline(__always)
  final func acquire() -> Bool {
    var old = word.load(ordering: .relaxed)
    while true {
      if old & Self.closedBit != 0 { return false }
      let (done, current) = word.weakCompareExchange(
        expected: old, desired: old &+ Self.oneUse, successOrdering: .acquiring, failureOrdering: .relaxed)
      if done { return true }
      old = current
    }
  }

  /// Ends a use, and closes the number if it was the last one of a closed descriptor. Safe from any thread.
  @inline(__always)
  final func release() {
    let new = word.subtract(Self.oneUse, ordering: .acquiringAndReleasing).newValue
    if new & Self.closedBit != 0, new & ~Self.flags == 0 { letGo(new) }
  }

  /// Refuses new uses; the number is closed when the last one in flight has ended. Safe from any thread.
  /// Returns false when it was closed before.
  @discardableResult
  final func close() -> Bool { end(Self.closedBit) }

  /// As `close`, but the number stays open, and is the caller's once this `isGone`.
  final func giveUp() -> Bool { end(Self.closedBit | Self.keptBit) }

  private final func end(_ bits: UInt32) -> Bool {
    var old = word.load(ordering: .relaxed)
    while true {
      // Who comes second must not change what the first has decided.
      if old & Self.closedBit != 0 { return false }
      let (done, current) = word.weakCompareExchange(
        expected: old, desired: old | bits, successOrdering: .acquiringAndReleasing, failureOrdering: .relaxed
      )
      if done { break }
      old = current
    }
    if old & ~Self.flags == 0 { letGo(old | bits) }
    return true
  }

  /// Gives the number back unclosed, to whoever handed it in. Before anybody else has a reference.
  final func disown() {
    let old = word.exchange(Self.closedBit, ordering: .acquiringAndReleasing)
    if old & Self.claimedBit != 0 { FdTable.release(number) }
  }

  /// Claims the number for one registration in this process; throws `.alreadyRegistered` when somebody has it.
  final func claim(during operation: @autoclosure () -> String) throws(IoError) {
    guard number >= 0 else { throw IoError(.badDescriptor, during: operation()) }
    guard FdTable.claim(number) else { throw IoError(.alreadyRegistered, during: operation()) }
    word.bitwiseOr(Self.claimedBit, ordering: .relaxed)
  }

  private final func letGo(_ word: UInt32) {
    // The claim goes first: once the number is closed, another thread may get it and claim it.
    if word & Self.claimedBit != 0 { FdTable.release(number) }
    if word & Self.keptBit == 0 { Syscalls.close(number) }
    gone.store(true, ordering: .sequentiallyConsistent)
    FdTable.wasClosed(number)
  }
}

/// Which descriptor numbers of this process have a registration, and who waits for a number to be closed.
///
/// libuv does not detect that two poll handles watch one number, and closing one silences the other.
enum FdTable {
  typealias Action = @Sendable () -> Void

  private struct State {
    /// Bit n of word n/64 is set while number n is claimed.
    var claimed: [UInt64] = []
    var onClose: [Int32: [UInt: Action]] = [:]
    var onAnyClose: [UInt: Action] = [:]
  }
  private static let state = Locked(State())
  /// Whether anybody waits: a close looks here first.
  private static let isAwaited = Atomic<Bool>(false)

  static func claim(_ number: Int32) -> Bool {
    let (word, bit) = (Int(number) / 64, UInt64(1) << UInt64(number % 64))
    return state.withLock { state in
      while state.claimed.count <= word { state.claimed.append(0) }
      if state.claimed[word] & bit != 0 { return false }
      state.claimed[word] |= bit
      return true
    }
  }

  static func release(_ number: Int32) {
    let (word, bit) = (Int(number) / 64, UInt64(1) << UInt64(number % 64))
    state.withLock { $0.claimed[word] &= ~bit }
  }

  /// Calls `action` once, after that number was closed by whoever had it, on whatever thread that happens; in place of
  /// an earlier action of that `key`. The caller then asks its own descriptor whether it is gone, and here again if not.
  static func onClose(of number: Int32, key: UInt, _ action: @escaping Action) {
    state.withLock { state in
      state.onClose[number, default: [:]][key] = action
      isAwaited.store(true, ordering: .sequentiallyConsistent)
    }
  }

  /// Takes back what `onClose` was told.
  static func forget(_ number: Int32, key: UInt) {
    state.withLock { state in
      state.onClose[number]?[key] = nil
      if state.onClose[number]?.isEmpty == true { state.onClose[number] = nil }
    }
  }

  /// Calls `action` once, after any descriptor of this library was closed; in place of an earlier action of that `key`.
  static func onAnyClose(key: UInt, _ action: @escaping Action) {
    state.withLock { state in
      state.onAnyClose[key] = action
      isAwaited.store(true, ordering: .sequentiallyConsistent)
    }
  }

  static func wasClosed(_ number: Int32) {
    guard isAwaited.load(ordering: .sequentiallyConsistent) else { return }
    let actions = state.withLock { state in
      let actions = Array(state.onAnyClose.values) + (state.onClose.removeValue(forKey: number) ?? [:]).values
      state.onAnyClose = [:]
      isAwaited.store(!state.onClose.isEmpty, ordering: .sequentiallyConsistent)
      return actions
    }
    for action in actions { action() }
  }
}
