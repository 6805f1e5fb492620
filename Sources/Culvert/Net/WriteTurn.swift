// SPDX-License-Identifier: Apache-2.0
// Whose turn it is to write: whole writes, first come, first served, never interleaved.

/// A turn that one task has at a time, given on in the order of asking.
final class WriteTurn: ParkingPlace {
  private let state = Locked(State())

  private struct State {
    var isTaken = false
    var waiters: [Waiter] = []
    /// Nobody gets the turn any more.
    var isClosed = false
  }

  /// Takes the turn if nobody has it and nobody waits for it.
  func tryTake() -> Bool {
    state.withLock { state in
      if state.isTaken || state.isClosed { return false }
      state.isTaken = true
      return true
    }
  }

  /// Gives the turn to whoever has waited longest.
  func give() {
    let next: Waiter? = state.withLock { state in
      if state.waiters.isEmpty {
        state.isTaken = false
        return nil
      }
      return state.waiters.removeFirst()
    }
    next?.wake(.ready)
  }

  /// Sends away those who wait, and those who come.
  func close() {
    let waiters = state.withLock { state in
      state.isClosed = true
      defer { state.waiters = [] }
      return state.waiters
    }
    for waiter in waiters { waiter.wake(.closed) }
  }

  func park(_ waiter: Waiter, for request: Void) -> Parking {
    state.withLock { state in
      if state.isClosed { return .declined(.closed) }
      if !state.isTaken {
        state.isTaken = true
        return .declined(.ready)
      }
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
