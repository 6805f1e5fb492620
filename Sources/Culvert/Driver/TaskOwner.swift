// SPDX-License-Identifier: Apache-2.0
// One cancellation handler for a whole task: the record that says where the task is parked.

import Synchronization

/// The cancellation record of a task that the runtime made.
///
/// Child tasks inherit the reference (a task-local value) but not the address: they take a handler of their own.
final class TaskOwner: Sendable {
  @TaskLocal static var current: TaskOwner?

  /// The owning task's address while its scope lasts, then 0: a new task may get the old address.
  private let task: Atomic<UInt>
  private let state = Locked(State())

  private struct State {
    var isCancelled = false
    /// Where the task parked last. May be out of date: cancelling a wait that is over does nothing.
    var place: (any ParkingPlace)?
  }

  private init(_ task: TaskIdentity) {
    self.task = Atomic(task.address)
  }

  /// Runs `body` in the current task under one cancellation handler, which serves all of its waits.
  static func scope<R>(_ body: () async throws -> R) async rethrows -> R {
    let owner = TaskOwner(.current)
    defer { owner.end() }
    return try await withTaskCancellationHandler {
      try await $current.withValue(owner) { try await body() }
    } onCancel: {
      owner.cancel()
    }
  }

  @inline(__always)
  func owns(_ task: TaskIdentity) -> Bool { self.task.load(ordering: .relaxed) == task.address }

  /// Parks the task's waiter, unless the task has been cancelled. The place is noted and the waiter kept under one
  /// lock, so a cancellation finds both or neither.
  @inline(__always)
  func park<Place: ParkingPlace>(_ waiter: Waiter, at place: Place, for request: Place.Request) -> Parking {
    state.withLock { state in
      if state.isCancelled { return .declined(.cancelled) }
      if state.place !== place { state.place = place }
      return place.park(waiter, for: request)
    }
  }

  private func cancel() {
    let place = state.withLock { state in
      state.isCancelled = true
      return state.place
    }
    place?.cancelWait(of: TaskIdentity(address: task.load(ordering: .relaxed)))
  }

  private func end() {
    task.store(0, ordering: .relaxed)
    state.withLock { $0.place = nil }
  }
}
