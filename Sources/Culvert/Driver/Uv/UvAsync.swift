// SPDX-License-Identifier: Apache-2.0
// The doorbell: the one libuv call that other threads may make.
//
// uv_async_send coalesces, and starts with a relaxed load: a push before it that takes no lock can be seen too late.
// So callers push under a mutex that the loop's thread also takes, and ring under that same mutex, which is what
// keeps a ring from meeting a closed loop.

import CLibuv

/// Ends a poll from another thread. Closed with its loop, like every handle in this folder that has no `close`.
@safe final class UvAsync: @unchecked Sendable {
  private let raw: UnsafeMutablePointer<uv_async_t>

  init(_ loop: UvLoop) throws(IoError) {
    unsafe raw = .allocate(capacity: 1)
    // The callback has nothing to do: that the poll has ended is the message.
    let status = uvCall(.uvAsyncInit) { unsafe uv_async_init(loop.raw, raw) { _ in } }
    if status != 0 {
      unsafe raw.deallocate()
      throw IoError(uv: status, during: "create a loop's doorbell")
    }
    unsafe raw.pointee.data = nil
  }

  /// Safe from any thread, until the loop is closed.
  func send() { _ = unsafe uv_async_send(raw) }
}
