// SPDX-License-Identifier: Apache-2.0
// One thread with its own loop, which runs the tasks whose sockets it polls: waking one is a push onto its own queue.
//
// A turn: the jobs that were ready when it began (fewer would let a level-triggered event fire again before its
// reader ran), a bounded number of those they made ready, then the loop. Jobs of other threads come in under a mutex, and
// a bounded number of them in each turn: a flood of new tasks must not keep sockets and timers waiting.
//
// What was measured (Swift 6.3): running plain jobs with `isolatedTo:taskExecutor:` costs two jobs more per wait. So
// actors get an executor object of their own, whose jobs are marked in the queue.

import CCulvert
import Synchronization

/// A thread of a runtime, as an executor: give it to tasks as their preference, and to actors as their home.
public final class Worker: TaskExecutor, @unchecked Sendable {
  /// The worker's number within its runtime, from 0.
  public let index: Int
  /// The executor for actors that live on this worker.
  public let serial: WorkerSerialExecutor
  let driver: IoDriver
  private let thread: IoDriver.ThreadMark
  private let limits: Limits
  /// At least 1: 0 would say that this thread is no worker's.
  private let callsPerJob: Int32

  /// Worker thread only: jobs to run.
  private let ready = JobQueue<QueuedJob>()
  /// Worker thread only: jobs of other threads whose turn has not come.
  private let backlog = JobQueue<QueuedJob>()
  /// Jobs that other threads left here.
  private let arrivals: Inbox<QueuedJob>
  private let stopRequested = Atomic<Bool>(false)
  /// Opens when the worker's last job has run.
  let ended = Latch()
  let idle: IdleWatch
  let pulse = WorkerPulse()
  /// The runtime that this worker belongs to; set once, before the thread starts.
  nonisolated(unsafe) weak var runtime: Runtime?

  init(index: Int, limits: Limits, time: VirtualTime?) throws(IoError) {
    self.index = index
    self.limits = limits
    callsPerJob = max(1, Int32(clamping: limits.callsPerJob))
    driver = try IoDriver(limits: limits, time: time)
    thread = driver.handle.mark
    let arrivals = Inbox<QueuedJob>(driver.handle.unparker)
    self.arrivals = arrivals
    idle = IdleWatch(counts: time != nil) { arrivals.ring() }
    serial = WorkerSerialExecutor()
    serial.worker = self
    driver.attach(self)
  }

  /// The worker whose thread calls. Safe from any thread.
  public static var current: Worker? { IoDriver.current?.host as? Worker }

  /// Whether the calling thread is this worker's.
  @inline(__always)
  var isCurrent: Bool { thread.isCurrent }

  // MARK: taking jobs; safe from any thread

  /// Takes a job of a task that prefers this worker.
  public func enqueue(_ job: consuming ExecutorJob) {
    submit(QueuedJob(job: UnownedJob(job), isolation: nil))
  }

  /// This worker as a task executor.
  public func asUnownedTaskExecutor() -> UnownedTaskExecutor {
    unsafe UnownedTaskExecutor(ordinary: self)
  }

  @inline(__always)
  func submit(_ job: consuming QueuedJob) {
    if isCurrent { ready.append(job) } else { submitFromElsewhere(job) }
  }

  private func submitFromElsewhere(_ job: QueuedJob) {
    if !arrivals.post(job) { Self.handOn(job) }
  }

  /// Asks the worker to end. Safe from any thread.
  func stop() {
    stopRequested.store(true, ordering: .releasing)
    arrivals.ring()
  }

  /// Ends a worker whose thread was never started.
  func dispose() {
    stop()
    run()
  }

  /// Whether the worker's thread has ended its work.
  var isClosed: Bool { arrivals.isClosed }

  // MARK: running; worker thread only

  /// Turns the calling thread into this worker until `stop`.
  func run() {
    driver.enter()
    notePulse()
    while true {
      takeArrivals()
      // Asked after that: a stop that finds the bell rung does not ring it, and must be seen before the loop waits.
      if stopRequested.load(ordering: .acquiring) { break }
      // The poll before this has found nothing, and nobody has left anything.
      let isIdle = ready.isEmpty && driver.lobby.isEmpty
      runReadyJobs(andUpTo: limits.jobsPerTurn)
      // Asked between the jobs and the poll: one of them may have forked.
      if driver.handle.origin.isElsewhere { return runInFork() }
      driver.processIo(wait: mayWait(isIdle))
      notePulse()
    }
    end()
  }

  /// Whether the next poll may wait; asked when the driver has nothing else to do.
  private func mayWait(_ isIdle: Bool) -> Bool {
    // A message or a timer may have made a job ready since.
    let mayWait = idle.look(isIdle: isIdle && !hasReadyJobs) && !hasReadyJobs
    if mayWait { pulse.willWait() }
    return mayWait
  }

  private func notePulse() {
    let now = MonotonicTime.coarse
    MonotonicTime.noteTurn(at: now)
    pulse.begin(at: now, ready: ready.count + backlog.count + driver.lobby.count, driver)
  }

  /// Jobs that other threads have left; safe from any thread.
  var jobsArrived: Int { arrivals.count }

  /// In a fork: the loop is the parent's. What is ready is run, its waits fail, and the thread ends.
  private func runInFork() {
    while hasReadyJobs {
      runReadyJobs(andUpTo: backlog.count)
      while let job = backlog.popFirst() { ready.append(job) }
    }
    MonotonicTime.noteTurn(at: 0)
  }

  private func runReadyJobs(andUpTo more: Int) {
    let woken = driver.lobby.count
    for _ in 0..<woken {
      guard let waiter = driver.lobby.popFirst() else { break }
      prepareToRun(waiter.job)
      waiter.run(on: self)
    }
    let most = max(ready.count, more - woken)
    var budget = most
    while budget > 0, let job = ready.popFirst() {
      budget -= 1
      run(job)
    }
    pulse.didRun(woken + most - budget)
  }

  @inline(__always)
  private func run(_ job: QueuedJob) {
    prepareToRun(job.job)
    job.run(on: self)
  }

  @inline(__always)
  private func prepareToRun(_ job: UnownedJob) {
    culvert_set_budget(callsPerJob)
    pulse.willRun(job)
  }

  private func takeArrivals() {
    arrivals.take { backlog.append($0) }
    var most = max(1, limits.jobsPerTurn)
    while most > 0, let job = backlog.popFirst() {
      ready.append(job)
      most -= 1
    }
  }

  /// Waiters get their answer, and what that makes ready is run, within bounds; then the loop is closed, and what is
  /// left goes to others.
  private func end() {
    driver.refuseWaiters()
    idle.close()
    let deadline = MonotonicTime.after(limits.shutDownGrace)
    repeat {
      takeArrivals()
      runReadyJobs(andUpTo: limits.jobsPerTurn)
      driver.processIo(wait: false)
      takeArrivals()
    } while hasReadyJobs && MonotonicTime.now < deadline
    let late = arrivals.close()
    driver.close()
    culvert_set_budget(0)
    culvert_set_wake(WakeReason.shutDown.number)
    MonotonicTime.noteTurn(at: 0)
    while let waiter = driver.lobby.popFirst() { waiter.handOn() }
    while let job = ready.popFirst() ?? backlog.popFirst() { Self.handOn(job) }
    for job in late { Self.handOn(job) }
    ended.open()
  }

  /// A closed worker's job: a plain one goes to the global executor. An actor's must not run beside another of the same
  /// actor: those of all closed workers go to one thread, which never ends.
  private static func handOn(_ job: QueuedJob) {
    if job.isolation == nil {
      globalConcurrentExecutor.enqueue(job.job)
    } else {
      LateJobs.submit(job)
    }
  }
}

extension Worker: IoDriverHost {
  var hasReadyJobs: Bool { !ready.isEmpty || !backlog.isEmpty || !driver.lobby.isEmpty }

  /// Runs the jobs that are ready now.
  func runReadyJobs() { runReadyJobs(andUpTo: 0) }
}
