// SPDX-License-Identifier: Apache-2.0
// A queue of Swift jobs, and of what else comes and goes: a ring that grows and is then used again, so steady work
// allocates nothing. What a burst took goes back.

/// First in, first out. Behind a pointer: an access needs no exclusivity check.
@safe struct JobQueue<Job>: ~Copyable {
  @safe private struct Ring {
    var slots: UnsafeMutablePointer<Job>
    /// A power of two.
    var capacity: Int
    var head = 0
    var count = 0

    init(capacity: Int) {
      unsafe slots = .allocate(capacity: capacity)
      self.capacity = capacity
    }

    subscript(index: Int) -> UnsafeMutablePointer<Job> {
      unsafe slots + (head &+ index) & (capacity &- 1)
    }
  }
  private static var leastCapacity: Int { 64 }
  /// A ring that grew beyond this is not kept.
  private static var keptCapacity: Int { 4096 }
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
  func append(_ job: consuming Job) {
    if count == capacity { resize(to: capacity * 2) }
    unsafe ring.pointee[count].initialize(to: job)
    unsafe ring.pointee.count &+= 1
  }

  @inline(__always)
  func popFirst() -> Job? {
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
