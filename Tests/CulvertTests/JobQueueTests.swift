// SPDX-License-Identifier: Apache-2.0
// The ring of jobs: its order, and its memory.
import Testing

@testable import Culvert

/// Keeps the jobs that it is given.
private final class Keeper: TaskExecutor {
  let jobs = Locked<[UnownedJob]>([])
  func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    jobs.withLock { $0.append(job) }
  }
}

@Suite struct JobQueueTests {
  @Test func `jobs come out in the order in which they went in, and after a burst the memory goes back`()
    async throws
  {
    let keeper = Keeper()
    let task = Task(executorPreference: keeper) {}
    let job = try #require(keeper.jobs.withLock { $0.first })
    // It is one job all the time, and never run from here: what it is told apart by is whose it is.
    let owners = (0..<20_000).map { _ in WorkerSerialExecutor() }
    let queue = JobQueue<QueuedJob>()
    for _ in 0..<3 {
      for owner in owners { queue.append(QueuedJob(job: job, isolation: owner)) }
      #expect(queue.capacity >= owners.count && queue.count == owners.count)
      var wrong = 0
      for owner in owners where queue.popFirst()?.isolation !== owner { wrong += 1 }
      #expect(wrong == 0)
      let isEmpty = queue.popFirst() == nil
      #expect(isEmpty && queue.isEmpty && queue.capacity < owners.count / 2)
    }
    unsafe job.runSynchronously(on: keeper.asUnownedTaskExecutor())
    await task.value
  }
}
