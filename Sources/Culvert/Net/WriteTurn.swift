// SPDX-License-Identifier: Apache-2.0
// Whose turn it is to write: whole writes, first come, first served, never interleaved.

/// A turn that one task has at a time, given on in the order of asking.
final class WriteTurn: ParkingPlace {
  private let state = Locked(State())

  private struct State {
    var isTaken = false
    var waiters = WaiterQueue()
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
    let next = state.withLock { state in
      let next = state.waiters.popFirst()
      state.isTaken = next != nil
      return next
    }
    next?.wake(.ready)
  }

  /// Sends away those who wait, and those who come.
  func close() {
    let waiters = state.withLock { state in
      state.isClosed = true
      return state.waiters.removeAll()
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

  func cancelWait(of task: TaskIdentity) {
    state.withLock { $0.waiters.remove(task) }?.wake(.cancelled)
  }
}
