// SPDX-License-Identifier: Apache-2.0
// Where the tasks of a worker wait that are known at the source that they wait for: nearly all waits there are.
//
// A task that enters the waiting room is given to this executor as a job, once it is suspended. That job is kept at the source in
// place of a continuation, and run by the worker when it is woken: no executor is looked up, and none is changed, on the way back.
// What must hold, or a task takes the long way:
// - The task runs on the thread of its source's worker, in no actor's name. There it goes on, whoever wakes it.
// - Its owner sends its cancellation to the source: a suspended task is not the current one, so nobody here can ask it.

import CCulvert
import CulvertWaiting

/// `waitInRoom` of CulvertWaiting, as a function that ends in its caller's isolation, which must be none.
@_silgen_name("culvert_wait_in_room")
nonisolated(nonsending) private func waitInRoom(_ room: Unretained<WaitingRoom>) async -> Int

/// The executor of one worker's waiting room. Worker thread only, but for `wake`.
@safe final class Lobby: SerialExecutor, @unchecked Sendable {
  /// A task that has waited, and may go on.
  struct Woken {
    let job: UnownedJob
    let reason: WakeReason

    /// Lets it go on, on the calling thread, which is that executor's.
    @inline(__always)
    func run(on executor: some TaskExecutor) {
      culvert_set_wake(reason.number)
      unsafe job.runSynchronously(on: executor.asUnownedTaskExecutor())
    }

    /// Lets it go on elsewhere, for its worker has ended. There it finds that as the reason.
    func handOn() { globalConcurrentExecutor.enqueue(job) }
  }

  /// That of the driver that this belongs to; it keeps this. Set once, before the thread starts.
  nonisolated(unsafe) unowned(unsafe) var handle: IoDriverHandle?
  private let woken = JobQueue<Woken>()
  private var room: WaitingRoom?
  /// What tells this lobby from others, and its thread: its room's address.
  private(set) var mark: UInt = 0
  private var previous: (room: UnsafeMutableRawPointer?, home: UInt) = (nil, 0)
  #if FaultInjection
    /// What the task that is expected has failing: it is not the current one any more when its wait is set up.
    private var script: Faults.Script?
  #endif

  init() {
    let room = unsafe WaitingRoom(UnownedSerialExecutor(ordinary: self))
    self.room = room
    mark = unsafe UInt(bitPattern: Unretained(room).address)
  }

  /// The mark of the calling thread's lobby; 0 where there is none.
  @inline(__always)
  static var currentMark: UInt { unsafe UInt(bitPattern: culvert_current_room()) }

  /// Makes the calling thread this lobby's, until `leave` gives it back to whoever had it.
  func enter() {
    unsafe previous = (culvert_current_room(), culvert_current_home())
    unsafe culvert_set_current_room(UnsafeMutableRawPointer(bitPattern: mark))
    culvert_set_current_home(unsafe handle?.address ?? 0)
  }

  func leave() {
    unsafe culvert_set_current_room(previous.room)
    culvert_set_current_home(unsafe previous.home)
  }

  // MARK: entering; by a task that runs on this lobby's thread

  /// Whether a task that is in the name of `actor` may wait here. (Asked as `== nil`, Swift 6.3 makes invalid code of it.)
  @inline(__always)
  static func isOpen(to actor: (any Actor)?) -> Bool {
    unsafe unsafeBitCast(actor, to: (object: UInt, conformance: UInt).self).object == 0
  }

  /// Says where the current task will wait, which must enter at once.
  @inline(__always)
  static func expect(at place: RegistrationInfo, for interest: IoEventInterest) {
    let place = unsafe UnsafeRawPointer(Unretained(place).address)
    unsafe culvert_set_current_entry(
      culvert_entry(place: place, interest: interest.rawValue))
    #if FaultInjection
      IoDriver.current?.lobby.script = Faults.script
    #endif
  }

  /// Suspends the current task, which is expected, until it is woken.
  @inline(__always)
  static func wait() async -> WakeReason {
    WakeReason(number: unsafe await waitInRoom(Unretained(at: culvert_current_room().unsafelyUnwrapped)))
  }

  /// Takes the task that was expected. It has been suspended for good, and may be run at once. Its place is kept by its caller.
  func enqueue(_ job: consuming ExecutorJob) {
    let waiter = Waiter(UnownedJob(job), in: self)
    let entry = unsafe culvert_current_entry()
    #if FaultInjection
      Faults.$script.withValue(script) { unsafe admit(waiter, entry) }
    #else
      unsafe admit(waiter, entry)
    #endif
  }

  @inline(__always)
  private func admit(_ waiter: Waiter, _ entry: culvert_entry) {
    unsafe Unretained<RegistrationInfo>(at: entry.place).with {
      $0.admit(waiter, for: IoEventInterest(rawValue: unsafe entry.interest))
    }
  }

  /// Lets a task go on. Safe from any thread, as long as somebody keeps this.
  @inline(__always)
  func wake(_ task: TaskIdentity, _ reason: WakeReason) {
    let waiter = Woken(job: task.job, reason: reason)
    if mark == Self.currentMark { woken.append(waiter) } else { wakeElsewhere(waiter) }
  }

  @inline(never)
  private func wakeElsewhere(_ waiter: Woken) { unsafe handle?.run(waiter) }

  // MARK: those who may go on

  var isEmpty: Bool { woken.isEmpty }
  var count: Int { woken.count }
  func append(_ waiter: Woken) { woken.append(waiter) }

  @inline(__always)
  func popFirst() -> Woken? { woken.popFirst() }
}
