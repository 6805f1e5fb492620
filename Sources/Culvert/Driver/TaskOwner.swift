// SPDX-License-Identifier: Apache-2.0
// One cancellation handler for a whole task: the record that says where the task is parked.

import CCulvert
import Synchronization

/// The cancellation record of a task that the runtime made. Its worker knows it by the task's address, for as long as its scope
/// lasts; so a child task has none, nor has a task while it runs elsewhere: they take a handler of their own.
class TaskOwner: @unchecked Sendable {
  /// The owning task's address while its scope lasts, then 0: a new task may get the old address.
  final let address = Atomic<UInt>(0)
  /// For the table that this is in. Under no lock: that is its worker's.
  @exclusivity(unchecked) var next: TaskOwner?
  private let lock = Lock()
  /// Under the lock.
  @exclusivity(unchecked) private var guarded = State()

  private struct State {
    var isCancelled = false
    /// Where the task parked last, and the only place that may remember it. Cancelling a wait that is over does nothing.
    var place: (any ParkingPlace)?

    mutating func moves(to place: some ParkingPlace, _ task: TaskIdentity) -> Bool {
      if isCancelled { return false }
      if self.place !== place {
        self.place?.forget(task)
        self.place = place
      }
      place.remember(task)
      return true
    }
  }

  @inline(__always)
  private final func withState<R>(_ body: (inout State) -> R) -> R {
    lock.take(key)
    defer { lock.give(key) }
    return unsafe body(&guarded)
  }
  private final var key: UInt { UInt(bitPattern: ObjectIdentifier(self)) }

  /// The owner that the calling worker knows for `task`, the current one.
  static func of(_ task: TaskIdentity) -> TaskOwner? {
    IoDriver.current?.owners[task]
  }

  /// Runs `body` in the current task under one cancellation handler, which serves all of its waits on this worker.
  static func scope<R>(_ body: () async throws -> R) async rethrows -> R {
    let owner = TaskOwner()
    owner.begin(.current, nil)
    defer { owner.end(.current) }
    return try await withTaskCancellationHandler {
      try await body()
    } onCancel: {
      owner.cancel()
    }
  }

  /// As the beginning of `scope(_:)`, for a task that will wait for `source` first: that has a home from the start, and
  /// remembers the task. The same function has to call `leave`, with the record that this returns.
  ///
  /// A scope that is handed a closure is four more frames of the task.
  final func enter(for source: BridgedFd) -> UnsafeMutableRawPointer? {
    begin(.current, source)
    return unsafe culvert_add_cancellation(
      { if let this = unsafe $0 { unsafe Unretained<TaskOwner>(at: this).with { $0.cancel() } } },
      Unretained(self).address)
  }

  final func leave(_ record: UnsafeMutableRawPointer?) {
    unsafe culvert_remove_cancellation(record)
    end(.current)
  }

  private final func begin(_ task: TaskIdentity, _ source: BridgedFd?) {
    address.store(task.address, ordering: .relaxed)
    guard let driver = IoDriver.current else { return }
    driver.owners.insert(self, of: task)
    guard let info = source?.registration.info else { return }
    // One that is refused is refused again, and told so, when it first waits.
    try? driver.handle.addIoSource(info)
    withState { state in
      state.place = info
      info.remember(task)
    }
  }

  final var task: TaskIdentity { TaskIdentity(address: address.load(ordering: .relaxed)) }

  @inline(__always)
  final func owns(_ task: TaskIdentity) -> Bool { self.task == task }

  /// Parks the task's waiter, unless the task has been cancelled. The place is noted and the waiter kept under one
  /// lock, so a cancellation finds both or neither.
  @inline(__always)
  final func park<Place: ParkingPlace>(_ waiter: Waiter, at place: Place, for request: Place.Request)
    -> Parking
  {
    withState { state in
      if !state.moves(to: place, waiter.task) { return .declined(.cancelled) }
      return place.park(waiter, for: request)
    }
  }

  /// Notes where the task is about to wait, and has it remembered there; false if the task has been cancelled. What cancels it
  /// from now on has it forgotten there.
  final func moves(to place: some ParkingPlace, _ task: TaskIdentity) -> Bool {
    withState { $0.moves(to: place, task) }
  }

  private final func cancel() {
    let place = withState { state in
      state.isCancelled = true
      return state.place
    }
    place?.cancelWait(of: task)
  }

  private final func end(_ task: TaskIdentity) {
    // Where this is not the worker that knows it, that one has ended, and knows nobody any more.
    IoDriver.current?.owners.remove(self, of: task)
    address.store(0, ordering: .relaxed)
    withState { state in
      state.place?.forget(task)
      state.place = nil
    }
  }
}
