// SPDX-License-Identifier: Apache-2.0
// What workers have in their queues: jobs of tasks, and of actors.

/// A job, and how it is to be run.
struct QueuedJob {
  let job: UnownedJob
  /// The actor executor in whose name it must be run; `nil` for a task's plain job.
  let isolation: WorkerSerialExecutor?

  /// Runs it on the calling thread, which is `worker`'s.
  @inline(__always)
  func run(on worker: Worker) {
    if let isolation {
      unsafe job.runSynchronously(
        isolatedTo: isolation.asUnownedSerialExecutor(), taskExecutor: worker.asUnownedTaskExecutor())
    } else {
      unsafe job.runSynchronously(on: worker.asUnownedTaskExecutor())
    }
  }

  /// Runs it on a thread that is no worker's.
  func run() {
    if let isolation {
      unsafe job.runSynchronously(on: isolation.asUnownedSerialExecutor())
    } else {
      globalConcurrentExecutor.enqueue(job)
    }
  }
}
