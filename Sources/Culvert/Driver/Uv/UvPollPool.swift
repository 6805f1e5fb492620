// SPDX-License-Identifier: Apache-2.0
// Poll handles that have been used, for the next descriptor with the same number.
//
// Why, and when that is safe
// - To make a handle and to close it costs four system calls: ADD, DEL and FIONBIO, and DEL once more. A handle that is stopped
//   watches nothing, whoever has its number meanwhile, and costs none. A new descriptor gets the lowest free number: that of the
//   connection that was closed last.
// - uv_poll_init's ADD and DEL are a test. An ADD that fails later, within uv_run, aborts the process. So a handle is used again
//   only for what surely can be polled, and only while this process watches fewer descriptors than it could watch before: the
//   system has a limit for each user (fs.epoll.max_user_watches, ENOSPC).
// - Within uv_run more events may have been found, for the number or for the handle: what is closed there is not kept.
// - libuv 1.45 to 1.48 only take note of a DEL (UvVersion): there the number must not be closed before the close callback, and
//   nothing is kept.

import CLibuv
import Synchronization

/// Stopped handles, each for one number. Loop thread only.
@safe struct UvPollPool: ~Copyable {
  typealias Handle = UnsafeMutablePointer<uv_poll_t>

  private let capacity: Int
  private var handles: [Handle?] = unsafe []
  private(set) var count = 0

  init(capacity: Int = UvVersion.delaysDeletes(UvVersion.loaded) ? 0 : 4096) {
    self.capacity = capacity
  }

  /// The handle that was kept for that number.
  mutating func take(_ number: Int32) -> Handle? {
    let index = Int(number)
    guard unsafe index < handles.count, let handle = unsafe handles[index] else { return nil }
    unsafe handles[index] = nil
    count -= 1
    return unsafe handle
  }

  /// Whether a handle for that number would be kept.
  func hasRoom(for number: Int32) -> Bool {
    let index = Int(number)
    return unsafe count < capacity && (index >= handles.count || handles[index] == nil)
  }

  /// Keeps a stopped handle. There must be room.
  mutating func keep(_ handle: Handle, for number: Int32) {
    while unsafe handles.count <= Int(number) { unsafe handles.append(nil) }
    unsafe handles[Int(number)] = handle
    count += 1
  }

  mutating func removeAll() -> [Handle] {
    let all = unsafe handles.compactMap { unsafe $0 }
    unsafe handles = []
    count = 0
    return unsafe all
  }
}

/// How many descriptors the loops of this process watch. Safe from any thread.
final class WatchCount: Sendable {
  private let now = Atomic<Int>(0)
  private let most = Atomic<Int>(0)

  static let ofProcess = WatchCount()

  var count: Int { now.load(ordering: .relaxed) }

  func add(_ difference: Int) { now.add(difference, ordering: .relaxed) }

  /// The system has just shown that one more can be watched.
  func noteRoom() { most.max(count + 1, ordering: .relaxed) }

  /// Whether one more could be watched before.
  var surelyHasRoom: Bool { count < most.load(ordering: .relaxed) }
}
