// SPDX-License-Identifier: Apache-2.0
// Where tests wait until a worker has nothing left to do: whoever was to park has parked, whoever was to be woken has
// run. What a test would else loop or sleep for.

import Synchronization

/// Tasks that wait for their worker to become idle. Safe from any thread, but for `look`.
final class IdleWatch: ParkingPlace {
  /// Asked on the worker's thread, each time it is idle.
  typealias Condition = @Sendable () -> Bool

  private struct Entry {
    let waiter: Waiter
    let condition: Condition
    /// A poll has begun since it came: what it caused before is done, if that poll finds nothing.
    var hasSeenPoll = false
  }
  private struct State {
    var entries: [Entry] = []
    var isClosed = false
    /// Turns in which something was run; counted only if that was asked for.
    var busyTurns = 0
  }
  private let state = Locked(State())
  private let awaited: Atomic<Bool>
  private let counts: Bool
  /// Ends the worker's poll.
  private let ring: @Sendable () -> Void

  /// With `counts` it counts the turns that are not idle, which costs each of them something.
  init(counts: Bool, ring: @escaping @Sendable () -> Void) {
    self.counts = counts
    self.ring = ring
    awaited = Atomic(counts)
  }

  var busyTurns: Int { state.withLock { $0.busyTurns } }

  /// Before a poll: wakes those whose time has come, when the poll before found nothing (`isIdle`). False when the next
  /// one must not wait, for somebody waits for its outcome. Worker thread only.
  func look(isIdle: Bool) -> Bool {
    guard awaited.load(ordering: .relaxed) else { return true }
    if isIdle { take { $0.hasSeenPoll && $0.condition() }.forEach { $0.wake(.ready) } }
    return state.withLock { state in
      if !isIdle { state.busyTurns &+= 1 }
      let isForNobody = state.entries.isEmpty || isIdle && state.entries.allSatisfy(\.hasSeenPoll)
      for index in state.entries.indices { state.entries[index].hasSeenPoll = true }
      return isForNobody
    }
  }

  /// The worker has ended.
  func close() {
    state.withLock { $0.isClosed = true }
    take { _ in true }.forEach { $0.wake(.shutDown) }
  }

  private func take(where isTaken: (Entry) -> Bool) -> [Waiter] {
    state.withLock { state in
      let taken = state.entries.filter(isTaken).map(\.waiter)
      state.entries.removeAll { entry in taken.contains { $0.task == entry.waiter.task } }
      awaited.store(counts || !state.entries.isEmpty, ordering: .relaxed)
      return taken
    }
  }

  func park(_ waiter: Waiter, for condition: @escaping Condition) -> Parking {
    state.withLock { state in
      if state.isClosed { return .declined(.shutDown) }
      if waiter.isCancelled { return .declined(.cancelled) }
      state.entries.append(Entry(waiter: waiter, condition: condition))
      awaited.store(true, ordering: .relaxed)
      return .keptUnsettled
    }
  }

  func settle() { ring() }

  func cancelWait(of task: TaskIdentity) {
    take { $0.waiter.task == task }.forEach { $0.wake(.cancelled) }
  }
}

extension Worker {
  /// Returns when the worker has nothing to run, its poll has found nothing, and `condition` holds then; or when the task
  /// is cancelled, or the worker has ended: then it is false.
  @discardableResult
  package func waitUntilIdle(where condition: @escaping @Sendable () -> Bool = { true }) async -> Bool {
    await idle.wait(for: condition) == .ready
  }

  /// Turns in which the worker has run something: a runtime with a time of its own counts them, so that it can be told whether
  /// anything has happened between two moments.
  package var busyTurns: Int { idle.busyTurns }

  /// When the first of its timers is due, if there is one.
  package var nextTimer: UInt64? {
    let earliest = driver.handle.timers.earliest
    return earliest == TimerQueue.never ? nil : earliest
  }
}
