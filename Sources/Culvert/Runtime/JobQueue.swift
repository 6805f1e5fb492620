// SPDX-License-Identifier: Apache-2.0
// A queue of Swift jobs: a ring that grows and is then used again, so steady work allocates nothing.

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

/// First in, first out.
@safe struct JobQueue: ~Copyable {
  private var slots: UnsafeMutablePointer<QueuedJob>
  /// A power of two.
  private var capacity = 64
  private var head = 0
  private(set) var count = 0

  init() {
    unsafe slots = .allocate(capacity: capacity)
  }

  deinit {
    for index in 0..<count { unsafe (slots + (head &+ index) & (capacity &- 1)).deinitialize(count: 1) }
    unsafe slots.deallocate()
  }

  var isEmpty: Bool { count == 0 }

  mutating func append(_ job: QueuedJob) {
    if count == capacity { grow() }
    unsafe (slots + (head &+ count) & (capacity &- 1)).initialize(to: job)
    count &+= 1
  }

  mutating func popFirst() -> QueuedJob? {
    if count == 0 { return nil }
    let job = unsafe (slots + head).move()
    head = (head &+ 1) & (capacity &- 1)
    count &-= 1
    return job
  }

  private mutating func grow() {
    let larger = UnsafeMutablePointer<QueuedJob>.allocate(capacity: capacity * 2)
    for index in 0..<count {
      unsafe (larger + index).moveInitialize(from: slots + (head &+ index) & (capacity &- 1), count: 1)
    }
    unsafe slots.deallocate()
    unsafe slots = larger
    head = 0
    capacity *= 2
  }
}
