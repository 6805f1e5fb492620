// SPDX-License-Identifier: Apache-2.0
// A value and its lock in one allocation. Behind pointers, so an access to the value needs no exclusivity check; behind two, for to
// the thread sanitizer an access through one pointer is an access to all that it points to, the lock too.

/// A value that only one thread at a time can reach.
@safe package struct Locked<Value: ~Copyable>: ~Copyable, @unchecked Sendable {
  private let lock: UnsafeMutablePointer<Lock>
  private let value: UnsafeMutablePointer<Value>

  package init(_ value: consuming Value) {
    let alignment = max(MemoryLayout<Lock>.alignment, MemoryLayout<Value>.alignment)
    let offset = (MemoryLayout<Lock>.size + alignment - 1) / alignment * alignment
    let storage = UnsafeMutableRawPointer.allocate(
      byteCount: offset + MemoryLayout<Value>.size, alignment: alignment)
    unsafe self.lock = storage.bindMemory(to: Lock.self, capacity: 1)
    unsafe self.value = (storage + offset).bindMemory(to: Value.self, capacity: 1)
    unsafe lock.initialize(to: Lock())
    unsafe self.value.initialize(to: value)
  }

  deinit {
    unsafe value.deinitialize(count: 1)
    unsafe lock.deinitialize(count: 1)
    unsafe UnsafeMutableRawPointer(lock).deallocate()
  }

  private var key: UInt { unsafe UInt(bitPattern: lock) }

  /// Runs `body` with the lock held. Nothing may be resumed in there: what wakes a task goes out as the result.
  @inline(__always)
  package func withLock<R, E: Error>(_ body: (inout Value) throws(E) -> R) throws(E) -> R {
    unsafe lock.pointee.take(key)
    defer { unsafe lock.pointee.give(key) }
    return try unsafe body(&value.pointee)
  }
}
