// SPDX-License-Identifier: Apache-2.0
// A worker as the home of actors. An object of its own: a job that reaches it must be run in the actor's name, and
// one that reaches the worker as a task executor must not.

/// The serial executor of a worker's thread, for actors whose work belongs beside its sockets.
///
/// ```swift
/// actor Hub {
///   private let worker: Worker
///   init(on worker: Worker) { self.worker = worker }
///   nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe worker.serial.asUnownedSerialExecutor() }
/// }
/// ```
/// When the runtime has ended the actor goes on: its jobs are then run by one thread of the process, still one at a
/// time.
public final class WorkerSerialExecutor: SerialExecutor, @unchecked Sendable {
  /// Set once, by the worker's init.
  weak var worker: Worker?

  init() {}

  /// Takes a job of an actor.
  public func enqueue(_ job: consuming ExecutorJob) {
    let job = QueuedJob(job: UnownedJob(job), isolation: self)
    if let worker { worker.submit(job) } else { LateJobs.submit(job) }
  }

  /// This executor, for an actor's `unownedExecutor`; keep the worker as long as the actor.
  public func asUnownedSerialExecutor() -> UnownedSerialExecutor {
    unsafe UnownedSerialExecutor(ordinary: self)
  }

  /// Whether the calling thread is the one that runs this executor's jobs; makes `assumeIsolated` hold in callbacks.
  public func isIsolatingCurrentContext() -> Bool? {
    if let worker, !worker.isClosed { return worker.isCurrent }
    return LateJobs.isCurrentThread
  }

  /// Stops the program when the calling thread is not the one that runs this executor's jobs.
  public func checkIsolated() {
    precondition(isIsolatingCurrentContext() == true, "not on the thread of this actor's worker")
  }
}
