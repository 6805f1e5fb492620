// SPDX-License-Identifier: Apache-2.0
// The one lock: a value and its mutex in one allocation.
// A pthread mutex, because the thread sanitizer understands it: it reports races that are none inside
// `Synchronization.Mutex` under contention. Behind a pointer, so its address is stable and an access to the
// value needs no exclusivity check.

import CCulvert

/// A value that only one thread at a time can reach.
@safe struct Locked<Value>: ~Copyable, @unchecked Sendable {
  @safe private struct Storage {
    var mutex = unsafe culvert_mutex()
    var value: Value
  }
  private let storage: UnsafeMutablePointer<Storage>

  init(_ value: consuming Value) {
    unsafe storage = .allocate(capacity: 1)
    unsafe storage.initialize(to: Storage(value: value))
    unsafe culvert_mutex_init(&storage.pointee.mutex)
  }

  deinit {
    unsafe culvert_mutex_destroy(&storage.pointee.mutex)
    unsafe storage.deinitialize(count: 1)
    unsafe storage.deallocate()
  }

  /// Runs `body` with the lock held. Nothing may be resumed in there: what wakes a task goes out as the result.
  @inline(__always)
  func withLock<R, E: Error>(_ body: (inout Value) throws(E) -> R) throws(E) -> R {
    unsafe culvert_mutex_lock(&storage.pointee.mutex)
    defer { unsafe culvert_mutex_unlock(&storage.pointee.mutex) }
    return try unsafe body(&storage.pointee.value)
  }
}
