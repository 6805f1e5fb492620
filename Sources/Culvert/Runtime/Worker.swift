// SPDX-License-Identifier: Apache-2.0
// One thread with its own loop, which runs the tasks whose sockets it polls: waking one is a push onto its own queue.
//
// A turn: the jobs that were ready when it began (fewer would let a level-triggered event fire again before its
// reader ran), a bounded number of those they made ready, then the loop. Jobs of other threads come in under a mutex.
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
  private let limits: Limits
  /// At least 1: 0 would say that this thread is no worker's.
  private let callsPerJob: Int32

  /// Worker thread only: jobs to run.
  private var ready = JobQueue()
  /// Jobs that other threads left here.
  private let arrivals: Inbox<QueuedJob>
  private let stopRequested = Atomic<Bool>(false)
  /// Opens when the worker's last job has run.
  let ended = Latch()
  /// The runtime that this worker belongs to; set once, before the thread starts.
  nonisolated(unsafe) weak var runtime: Runtime?

  init(index: Int, limits: Limits) throws(IoError) {
    self.index = index
    self.limits = limits
    callsPerJob = max(1, Int32(clamping: limits.callsPerJob))
    driver = try IoDriver(limits: limits)
    arrivals = Inbox(driver.handle.unparker)
    serial = WorkerSerialExecutor()
    serial.worker = self
    driver.attach(self)
  }

  /// The worker whose thread calls. Safe from any thread.
  public static var current: Worker? { IoDriver.current?.host as? Worker }

  /// Whether the calling thread is this worker's.
  @inline(__always)
  var isCurrent: Bool { driver.handle.isCurrent }

  // MARK: taking jobs; safe from any thread

  /// Takes a job of a task that prefers this worker.
  public func enqueue(_ job: consuming ExecutorJob) {
    submit(QueuedJob(job: UnownedJob(job), isolation: nil))
  }

  /// This worker as a task executor.
  public func asUnownedTaskExecutor() -> UnownedTaskExecutor {
    unsafe UnownedTaskExecutor(ordinary: self)
  }

  func submit(_ job: QueuedJob) {
    if isCurrent {
      ready.append(job)
    } else if !arrivals.post(job) {
      Self.handOn(job)
    }
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
    while true {
      takeArrivals()
      // Asked after that: a stop that finds the bell rung does not ring it, and must be seen before the loop waits.
      if stopRequested.load(ordering: .acquiring) { break }
      runReadyJobs(andUpTo: limits.jobsPerTurn)
      driver.processIo(wait: ready.isEmpty)
    }
    end()
  }

  private func runReadyJobs(andUpTo more: Int) {
    var budget = max(ready.count, more)
    while budget > 0, let job = ready.popFirst() {
      budget -= 1
      run(job)
    }
  }

  @inline(__always)
  private func run(_ job: QueuedJob) {
    culvert_set_budget(callsPerJob)
    job.run(on: self)
  }

  private func takeArrivals() {
    arrivals.take { ready.append($0) }
  }

  /// Waiters get their answer, and what that makes ready is run, within bounds; then the loop is closed, and what is
  /// left goes to others.
  private func end() {
    driver.refuseWaiters()
    let deadline = MonotonicTime.after(limits.shutDownGrace)
    repeat {
      takeArrivals()
      runReadyJobs(andUpTo: limits.jobsPerTurn)
      driver.processIo(wait: false)
      takeArrivals()
    } while !ready.isEmpty && MonotonicTime.now < deadline
    let late = arrivals.close()
    driver.close()
    culvert_set_budget(0)
    while let job = ready.popFirst() { Self.handOn(job) }
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
  var hasReadyJobs: Bool { !ready.isEmpty }

  /// Runs the jobs that are ready now.
  func runReadyJobs() { runReadyJobs(andUpTo: 0) }
}
