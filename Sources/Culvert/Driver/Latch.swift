// SPDX-License-Identifier: Apache-2.0
// A place to wait for something that happens once: a descriptor let go, a runtime ended.

/// Closed until `open`, then open for good.
package final class Latch: ParkingPlace {
  private let state = Locked(State())

  private struct State {
    var isOpen = false
    var waiters = WaiterQueue()
  }

  package init() {}

  /// Wakes everybody with `.ready`. Safe from any thread.
  package func open() {
    let waiters = state.withLock { state in
      state.isOpen = true
      return state.waiters.removeAll()
    }
    for waiter in waiters { waiter.wake(.ready) }
  }

  func park(_ waiter: Waiter, for request: Void) -> Parking {
    state.withLock { state in
      if state.isOpen { return .declined(.ready) }
      if waiter.isCancelled { return .declined(.cancelled) }
      state.waiters.append(waiter)
      return .kept
    }
  }

  func cancelWait(of task: TaskIdentity) {
    state.withLock { $0.waiters.remove(task) }?.wake(.cancelled)
  }
}

extension Latch {
  /// Returns when the latch is open; throws `.cancelled`.
  package func passed(during operation: @autoclosure () -> String) async throws(IoError) {
    if await wait(for: ()) == .cancelled { throw IoError(.cancelled, during: operation()) }
  }
}
