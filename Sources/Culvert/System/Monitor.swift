// SPDX-License-Identifier: Apache-2.0
// A lock that a thread can wait at. Never used by a worker: a worker waits in its loop.

import CCulvert

/// A value under a mutex, and a condition to wait for it to change.
@safe final class Monitor<Value>: @unchecked Sendable {
  private let mutex: UnsafeMutablePointer<culvert_mutex>
  private let changed: UnsafeMutablePointer<culvert_condition>
  private var value: Value

  init(_ value: Value) {
    self.value = value
    unsafe mutex = .allocate(capacity: 1)
    unsafe changed = .allocate(capacity: 1)
    unsafe culvert_mutex_init(mutex)
    unsafe culvert_condition_init(changed)
  }

  deinit {
    unsafe culvert_condition_destroy(changed)
    unsafe culvert_mutex_destroy(mutex)
    unsafe changed.deallocate()
    unsafe mutex.deallocate()
  }

  /// Changes the value and wakes whoever waits.
  func update<R>(_ body: (inout Value) -> R) -> R {
    unsafe culvert_mutex_lock(mutex)
    defer { unsafe culvert_mutex_unlock(mutex) }
    defer { unsafe culvert_condition_broadcast(changed) }
    return body(&value)
  }

  /// Blocks the thread until `body` answers something.
  func wait<R>(for body: (inout Value) -> R?) -> R {
    unsafe culvert_mutex_lock(mutex)
    defer { unsafe culvert_mutex_unlock(mutex) }
    while true {
      if let result = body(&value) { return result }
      unsafe culvert_condition_wait(changed, mutex)
    }
  }
}
