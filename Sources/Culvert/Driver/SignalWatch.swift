// SPDX-License-Identifier: Apache-2.0
// Signals that have arrived, and who waits for them.

/// Where a task waits for one of several signals. A signal that comes again before it was taken counts once.
final class SignalWatch: ParkingPlace {
  let numbers: [Int32]
  private let state = Locked(State())

  private struct State {
    var pending: [Int32] = []
    var waiters: [Waiter] = []
    var hasEnded = false
  }

  init(_ numbers: [Int32]) {
    self.numbers = numbers
  }

  /// A signal has arrived.
  func raise(_ number: Int32) {
    let waiter: Waiter? = state.withLock { state in
      if !state.pending.contains(number) { state.pending.append(number) }
      return state.waiters.isEmpty ? nil : state.waiters.removeFirst()
    }
    waiter?.wake(.ready)
  }

  /// No more signals will come.
  func end() {
    let waiters = state.withLock { state in
      state.hasEnded = true
      defer { state.waiters = [] }
      return state.waiters
    }
    for waiter in waiters { waiter.wake(.shutDown) }
  }

  /// Takes the signal that came first.
  func take() -> Int32? {
    state.withLock { $0.pending.isEmpty ? nil : $0.pending.removeFirst() }
  }

  func park(_ waiter: Waiter, for request: Void) -> Parking {
    state.withLock { state in
      if !state.pending.isEmpty { return .declined(.ready) }
      if state.hasEnded { return .declined(.shutDown) }
      if waiter.isCancelled { return .declined(.cancelled) }
      state.waiters.append(waiter)
      return .kept
    }
  }

  func settle() {}

  func cancelWait(of task: TaskIdentity) {
    let waiter = state.withLock { state in
      state.waiters.firstIndex { $0.task == task }.map { state.waiters.remove(at: $0) }
    }
    waiter?.wake(.cancelled)
  }
}
