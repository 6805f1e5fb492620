// SPDX-License-Identifier: Apache-2.0
// One cancellation handler for a whole task: the record that says where the task is parked.
//
// It lies in the task's own memory, where what is taken last is given back first: so the same function takes and gives it back,
// with a single call in between. (A class would be an allocation more for each connection.) Whoever else may reach it is stopped
// by then: the table of owners has a lock, and the runtime takes a cancellation handler back only when none is running.

import CCulvert

/// The cancellation record of a task that the runtime made. Its worker knows it by the task's address, for as long as its scope
/// lasts; so a child task has none, nor has a task while it runs elsewhere: they take a handler of their own.
@safe struct TaskOwner: Equatable, @unchecked Sendable {
  // The parts have different users. Each is behind a pointer of its own, for to the thread sanitizer an access through one pointer
  // is an access to all that it points to.
  private let memory: UnsafeMutableRawPointer

  private struct Fixed {
    let task: TaskIdentity
    /// Where the task began its scope, if it was a worker's thread.
    let table: TaskOwnerTable?
  }
  private var fixed: UnsafeMutablePointer<Fixed> { unsafe memory.assumingMemoryBound(to: Fixed.self) }
  /// What the Swift runtime knows the cancellation handler by. Set by the task, and read by it.
  private var handler: UnsafeMutablePointer<UnsafeMutableRawPointer?> {
    unsafe (memory + 16).assumingMemoryBound(to: UnsafeMutableRawPointer?.self)
  }
  /// For the table, under its lock.
  private var link: UnsafeMutablePointer<TaskOwner?> {
    unsafe (memory + 24).assumingMemoryBound(to: TaskOwner?.self)
  }
  /// Under the lock.
  private var state: UnsafeMutablePointer<State> { unsafe (memory + 32).assumingMemoryBound(to: State.self) }
  private var lock: UnsafeMutablePointer<Lock> { unsafe (memory + 56).assumingMemoryBound(to: Lock.self) }

  static var size: Int { 64 }

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

  /// In memory for `size` bytes, until `deinitialize`.
  init(in memory: UnsafeMutableRawPointer, of task: TaskIdentity, knownTo table: TaskOwnerTable?) {
    assert(MemoryLayout<Fixed>.size <= 16 && MemoryLayout<State>.size <= 24 && MemoryLayout<Lock>.size <= 8)
    unsafe self.memory = memory
    unsafe fixed.initialize(to: Fixed(task: task, table: table))
    unsafe handler.initialize(to: nil)
    unsafe link.initialize(to: nil)
    unsafe state.initialize(to: State())
    unsafe lock.initialize(to: Lock())
    table?.insert(self)
  }

  func deinitialize() {
    unsafe fixed.pointee.table?.remove(self)
    unsafe lock.deinitialize(count: 1)
    unsafe state.deinitialize(count: 1)
    unsafe fixed.deinitialize(count: 1)
  }

  @inline(__always)
  private func withState<R>(_ body: (inout State) -> R) -> R {
    unsafe lock.pointee.take(key)
    defer { unsafe lock.pointee.give(key) }
    return unsafe body(&state.pointee)
  }
  private var key: UInt { unsafe UInt(bitPattern: memory) }

  static func == (one: TaskOwner, other: TaskOwner) -> Bool { unsafe one.memory == other.memory }

  var task: TaskIdentity { unsafe fixed.pointee.task }

  /// For the table.
  var next: TaskOwner? {
    get { unsafe link.pointee }
    nonmutating set { unsafe link.pointee = newValue }
  }

  // MARK: the scope; by the task

  /// The owner that the calling worker knows for `task`, the current one.
  static func of(_ task: TaskIdentity) -> TaskOwner? {
    IoDriver.current?.owners[task]
  }

  /// Runs `body` in the current task under one cancellation handler, which serves all of its waits on this worker.
  static func scope<R>(_ body: () async throws -> R) async rethrows -> R {
    let owner = enter(for: nil)
    defer { owner.leave() }
    return try await body()
  }

  /// As the beginning of `scope(_:)`, for a task that will wait for `source` first: that has a home from the start, and
  /// remembers the task. The same function has to call `leave`.
  ///
  /// A scope that is handed a closure is four more frames of the task.
  static func enter(for source: BridgedFd?) -> TaskOwner {
    let driver = IoDriver.current
    let owner = unsafe TaskOwner(in: culvert_task_alloc(size), of: .current, knownTo: driver?.owners)
    if let driver, let source { owner.begin(at: source.registration.info, of: driver) }
    unsafe owner.handler.pointee = culvert_add_cancellation(
      { if let memory = unsafe $0 { unsafe TaskOwner(at: memory).cancel() } }, owner.memory)
    return owner
  }

  private init(at memory: UnsafeMutableRawPointer) {
    unsafe self.memory = memory
  }

  private func begin(at source: RegistrationInfo, of driver: IoDriver) {
    // One that is refused is refused again, and told so, when it first waits.
    try? driver.handle.addIoSource(source)
    _ = moves(to: source, task)
  }

  func leave() {
    unsafe culvert_remove_cancellation(handler.pointee)
    withState { state in
      state.place?.forget(task)
      state.place = nil
    }
    deinitialize()
    unsafe culvert_task_dealloc(memory)
  }

  // MARK: waiting

  /// Parks the task's waiter, unless the task has been cancelled. The place is noted and the waiter kept under one
  /// lock, so a cancellation finds both or neither.
  @inline(__always)
  func park<Place: ParkingPlace>(_ waiter: Waiter, at place: Place, for request: Place.Request)
    -> Parking
  {
    withState { state in
      if !state.moves(to: place, waiter.task) { return .declined(.cancelled) }
      return place.park(waiter, for: request)
    }
  }

  /// Notes where the task is about to wait, and has it remembered there; false if the task has been cancelled. What cancels it
  /// from now on has it forgotten there.
  func moves(to place: some ParkingPlace, _ task: TaskIdentity) -> Bool {
    withState { $0.moves(to: place, task) }
  }

  private func cancel() {
    let place = withState { state in
      state.isCancelled = true
      return state.place
    }
    place?.cancelWait(of: task)
  }
}
