// SPDX-License-Identifier: Apache-2.0
// One cancellation handler for a whole task: the record that says where the task is parked.

import Synchronization

/// What a task that the runtime made does in its life.
protocol OwnedWork: AnyObject, Sendable {
  /// What the task will wait for first.
  var source: BridgedFd { get }
  func body() async throws
}

/// The cancellation record of a task that the runtime made. Its worker knows it by the task's address, for as long as its scope
/// lasts; so a child task has none, nor has a task while it runs elsewhere: they take a handler of their own.
final class TaskOwner: @unchecked Sendable {
  /// The owning task's address while its scope lasts, then 0: a new task may get the old address.
  private let task: Atomic<UInt>
  private let lock = Lock()
  /// Under the lock.
  @exclusivity(unchecked) private var guarded = State()

  private struct State {
    var isCancelled = false
    /// Where the task parked last, and the only place that may remember it. Cancelling a wait that is over does nothing.
    var place: (any ParkingPlace)?
  }

  private init(_ task: TaskIdentity) {
    self.task = Atomic(task.address)
  }

  @inline(__always)
  private func withState<R>(_ body: (inout State) -> R) -> R {
    lock.take(key)
    defer { lock.give(key) }
    return unsafe body(&guarded)
  }
  private var key: UInt { UInt(bitPattern: ObjectIdentifier(self)) }

  /// The owner that the calling worker knows for `task`, the current one.
  static func of(_ task: TaskIdentity) -> TaskOwner? {
    guard let owner = IoDriver.current?.owners[task], owner.owns(task) else { return nil }
    return owner
  }

  /// Runs `body` in the current task under one cancellation handler, which serves all of its waits on this worker.
  static func scope<R>(_ body: () async throws -> R) async rethrows -> R {
    let task = TaskIdentity.current
    let owner = begin(task, nil)
    defer { owner.end(task) }
    return try await withTaskCancellationHandler {
      try await body()
    } onCancel: {
      owner.cancel()
    }
  }

  /// As `scope(_:)`, for work that is all in one object: a closure that is handed in would be two more frames of the task. Its
  /// source has a home from the start, and remembers the task.
  @inline(__always)
  static func scope(_ work: some OwnedWork) async throws {
    let task = TaskIdentity.current
    let owner = begin(task, work.source)
    defer { owner.end(task) }
    try await withTaskCancellationHandler {
      try await work.body()
    } onCancel: {
      owner.cancel()
    }
  }

  private static func begin(_ task: TaskIdentity, _ source: BridgedFd?) -> TaskOwner {
    let owner = TaskOwner(task)
    owner.begin(task, source)
    return owner
  }

  private func begin(_ task: TaskIdentity, _ source: BridgedFd?) {
    guard let driver = IoDriver.current else { return }
    driver.add(self, of: task)
    guard let info = source?.registration.info else { return }
    // One that is refused is refused again, and told so, when it first waits.
    try? driver.handle.addIoSource(info)
    withState { state in
      state.place = info
      info.remember(task)
    }
  }

  @inline(__always)
  private func owns(_ task: TaskIdentity) -> Bool { self.task.load(ordering: .relaxed) == task.address }

  /// Parks the task's waiter, unless the task has been cancelled. The place is noted and the waiter kept under one
  /// lock, so a cancellation finds both or neither.
  @inline(__always)
  func park<Place: ParkingPlace>(_ waiter: Waiter, at place: Place, for request: Place.Request) -> Parking {
    withState { state in
      if state.isCancelled { return .declined(.cancelled) }
      if state.place !== place {
        state.place?.forget(waiter.task)
        state.place = place
      }
      place.remember(waiter.task)
      return place.park(waiter, for: request)
    }
  }

  private func cancel() {
    let place = withState { state in
      state.isCancelled = true
      return state.place
    }
    place?.cancelWait(of: TaskIdentity(address: task.load(ordering: .relaxed)))
  }

  private func end(_ task: TaskIdentity) {
    self.task.store(0, ordering: .relaxed)
    // Where this is not the worker that knows it, that one has ended, and knows nobody any more.
    if let driver = IoDriver.current, driver.owners[task] === self { driver.removeOwner(of: task) }
    withState { state in
      state.place?.forget(task)
      state.place = nil
    }
  }
}
