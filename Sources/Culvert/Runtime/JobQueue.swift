// SPDX-License-Identifier: Apache-2.0
// A queue of Swift jobs: a ring that grows and is then used again, so steady work allocates nothing. What a burst took
// goes back.

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

/// First in, first out. Behind a pointer: an access needs no exclusivity check.
@safe struct JobQueue: ~Copyable {
  @safe private struct Ring {
    var slots: UnsafeMutablePointer<QueuedJob>
    /// A power of two.
    var capacity: Int
    var head = 0
    var count = 0

    init(capacity: Int) {
      unsafe slots = .allocate(capacity: capacity)
      self.capacity = capacity
    }

    subscript(index: Int) -> UnsafeMutablePointer<QueuedJob> {
      unsafe slots + (head &+ index) & (capacity &- 1)
    }
  }
  private static let leastCapacity = 64
  /// A ring that grew beyond this is not kept.
  private static let keptCapacity = 4096
  private let ring: UnsafeMutablePointer<Ring>

  init() {
    unsafe ring = .allocate(capacity: 1)
    unsafe ring.initialize(to: Ring(capacity: Self.leastCapacity))
  }

  deinit {
    for index in 0..<count { unsafe ring.pointee[index].deinitialize(count: 1) }
    unsafe ring.pointee.slots.deallocate()
    unsafe ring.deallocate()
  }

  var isEmpty: Bool { count == 0 }
  var count: Int { unsafe ring.pointee.count }
  var capacity: Int { unsafe ring.pointee.capacity }

  @inline(__always)
  func append(_ job: consuming QueuedJob) {
    if count == capacity { resize(to: capacity * 2) }
    unsafe ring.pointee[count].initialize(to: job)
    unsafe ring.pointee.count &+= 1
  }

  @inline(__always)
  func popFirst() -> QueuedJob? {
    if isEmpty {
      if capacity > Self.keptCapacity { resize(to: Self.leastCapacity) }
      return nil
    }
    let job = unsafe ring.pointee[0].move()
    unsafe ring.pointee.head = (ring.pointee.head &+ 1) & (capacity &- 1)
    unsafe ring.pointee.count &-= 1
    return job
  }

  private func resize(to capacity: Int) {
    var other = Ring(capacity: capacity)
    for index in 0..<count { unsafe other[index].moveInitialize(from: ring.pointee[index], count: 1) }
    other.count = count
    unsafe ring.pointee.slots.deallocate()
    unsafe ring.pointee = other
  }
}
