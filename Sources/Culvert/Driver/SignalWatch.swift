// SPDX-License-Identifier: Apache-2.0
// Signals that have arrived, and who waits for them.

/// Where a task waits for one of several signals. A signal that comes again before it was taken counts once.
final class SignalWatch: ParkingPlace {
  let numbers: [Int32]
  private let state = Locked(State())

  private struct State {
    var pending: [Int32] = []
    var waiters = WaiterQueue()
    var hasEnded = false
  }

  init(_ numbers: [Int32]) {
    self.numbers = numbers
  }

  /// A signal has arrived.
  func raise(_ number: Int32) {
    let waiter = state.withLock { state in
      if !state.pending.contains(number) { state.pending.append(number) }
      return state.waiters.popFirst()
    }
    waiter?.wake(.ready)
  }

  /// No more signals will come.
  func end() {
    let waiters = state.withLock { state in
      state.hasEnded = true
      return state.waiters.removeAll()
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

  func cancelWait(of task: TaskIdentity) {
    state.withLock { $0.waiters.remove(task) }?.wake(.cancelled)
  }
}
