// SPDX-License-Identifier: Apache-2.0
// What a worker's thread notes of itself, for reports: some stores for each turn of its loop and one for each job, and
// nothing more is done before somebody asks.
//
// Time is read from the coarse clock, of a few milliseconds. A single span may be off by a tick, either way; sums are
// right, for the ticks fall where they may.

import Synchronization

/// Written by the worker's thread alone; read by any, one number after the other.
struct WorkerPulse: ~Copyable {
  /// When the worker last came out of its poll, and 0 while it waits there.
  private let busyFrom = Atomic<UInt64>(0)
  /// When the worker began to wait in its poll, and 0 while it does not.
  private let idleFrom = Atomic<UInt64>(0)
  private let busyBefore = Atomic<UInt64>(0)
  private let idleBefore = Atomic<UInt64>(0)
  /// Turns of the loop, those of them that could wait, and jobs that were run.
  private let turns = Atomic<UInt64>(0)
  private let parks = Atomic<UInt64>(0)
  private let jobs = Atomic<UInt64>(0)
  /// Tasks that events woke, and changes of what is armed, as the driver counts them.
  private let wakeUps = Atomic<UInt64>(0)
  private let armings = Atomic<UInt64>(0)
  /// How many jobs were ready when the worker last came out of its poll.
  private let readyThen = Atomic<Int>(0)
  /// The address of the job that is run, or was last in this turn.
  private let running = Atomic<UInt>(0)

  // MARK: worker thread only

  /// The poll is about to wait.
  func willWait() {
    let now = MonotonicTime.coarse
    add(since(busyFrom, now), to: busyBefore)
    add(1, to: parks)
    idleFrom.store(now, ordering: .relaxed)
    busyFrom.store(0, ordering: .relaxed)
  }

  /// The poll is over, or the worker begins.
  func begin(at now: UInt64, ready: Int, _ driver: IoDriver) {
    add(since(idleFrom, now), to: idleBefore)
    add(since(busyFrom, now), to: busyBefore)
    idleFrom.store(0, ordering: .relaxed)
    busyFrom.store(now, ordering: .relaxed)
    running.store(0, ordering: .relaxed)
    readyThen.store(ready, ordering: .relaxed)
    turns.store(driver.turn, ordering: .relaxed)
    wakeUps.store(driver.wakeUps, ordering: .relaxed)
    armings.store(driver.armings, ordering: .relaxed)
  }

  @inline(__always)
  func willRun(_ job: UnownedJob) {
    running.store(unsafe unsafeBitCast(job, to: UInt.self), ordering: .relaxed)
  }

  func didRun(_ count: Int) { add(UInt64(count), to: jobs) }

  private func add(_ count: UInt64, to total: borrowing Atomic<UInt64>) {
    total.store(total.load(ordering: .relaxed) &+ count, ordering: .relaxed)
  }

  private func since(_ start: borrowing Atomic<UInt64>, _ now: UInt64) -> UInt64 {
    let start = start.load(ordering: .relaxed)
    return start == 0 || now < start ? 0 : now - start
  }

  // MARK: safe from any thread

  /// When the worker last came out of its poll, and 0 while it waits there.
  var busySince: UInt64 { busyFrom.load(ordering: .relaxed) }
  var jobsReady: Int { readyThen.load(ordering: .relaxed) }
  /// The task that is run, or was last in this turn; `none` before the first.
  var task: TaskIdentity { TaskIdentity(address: running.load(ordering: .relaxed)) }

  /// Fills in what is counted here.
  func fill(_ metrics: inout WorkerMetrics) {
    let now = MonotonicTime.coarse
    metrics.turns = turns.load(ordering: .relaxed)
    metrics.parks = parks.load(ordering: .relaxed)
    metrics.jobs = jobs.load(ordering: .relaxed)
    metrics.wakeUps = wakeUps.load(ordering: .relaxed)
    metrics.armings = armings.load(ordering: .relaxed)
    metrics.busyTime = .nanoseconds(busyBefore.load(ordering: .relaxed) &+ since(busyFrom, now))
    metrics.idleTime = .nanoseconds(idleBefore.load(ordering: .relaxed) &+ since(idleFrom, now))
    metrics.jobsReady = jobsReady
  }
}
