// SPDX-License-Identifier: Apache-2.0
// Watching one descriptor.
//
// Some facts about uv_poll
// - It is level-triggered: the callback comes again in every turn as long as data sits unread. Readable and
//   writable armed for good, as one would with an edge-triggered selector, is a loop at full speed.
// - uv_poll_start costs an epoll_ctl DEL at once and an ADD before the next poll, always; uv_poll_init costs ADD, DEL
//   and FIONBIO. So what is armed stays armed while somebody comes back for it.
// - EPOLLERR arrives as status UV_EBADF with no events, and libuv has stopped the handle by then. It says nothing of
//   the error's kind: the next system call tells.
// - uv_poll_stop and uv_close send DEL for the descriptor's *number*. If the number was closed before, they may hit
//   its new owner; a queued ADD that meets a closed number aborts the process. So the number is closed only after
//   the close callback (Descriptor counts the loop as a user).
// - A second handle for one number is not detected, and closing either silences both (FdTable refuses it).
// - UV_DISCONNECT is EPOLLRDHUP: the peer shut its sending side, or more. It stays up for good.
// - EPOLLHUP (both directions are down) is always watched for. Alone it is reported as whatever is armed; together with
//   something armed it is not told. So a handle armed for UV_PRIORITIZED only is silent until the connection is gone.

import CLibuv
import CCulvert

/// A descriptor that may be watched, and what its poll handle reports to. The handle keeps it alive until `pollClosed`.
class UvPollTarget: Descriptor, @unchecked Sendable {
  /// `events` holds UV_READABLE and so on; none, and nothing armed any more, when `failed`. Loop thread only.
  func polled(events: UInt8, failed: Bool) {}
  /// The loop has let go of the descriptor. Loop thread only.
  func pollClosed() {}
}

/// A poll handle. Loop thread only.
@safe struct UvPoll {
  private let raw: UnsafeMutablePointer<uv_poll_t>

  static var readable: UInt8 { UInt8(UV_READABLE.rawValue) }
  static var writable: UInt8 { UInt8(UV_WRITABLE.rawValue) }
  static var disconnect: UInt8 { UInt8(UV_DISCONNECT.rawValue) }
  static var prioritized: UInt8 { UInt8(UV_PRIORITIZED.rawValue) }

  /// Fails with EPERM for what can't be polled (a regular file), EEXIST for a number that is watched already.
  init(_ loop: UvLoop, _ fd: Int32, target: UvPollTarget) throws(IoError) {
    unsafe assertOnLoop(loop.raw)
    unsafe raw = loop.takePoll()
    let status = uvCall(.uvPollInit) { unsafe uv_poll_init(loop.raw, raw, fd) }
    if status != 0 {
      unsafe loop.giveBack(raw)
      throw IoError(uv: status, during: "watch file descriptor \(fd)")
    }
    unsafe raw.pointee.data = Unmanaged.passRetained(target).toOpaque()
  }

  /// Watches for exactly these events; none stops the handle. `armed` is what it watched for so far: nothing, too, after it
  /// has failed.
  func arm(_ events: UInt8, insteadOf armed: UInt8) {
    unsafe assertOnLoop(raw.pointee.loop)
    if events == armed { return }
    if events == 0 {
      _ = unsafe uv_poll_stop(raw)
    } else {
      _ = unsafe uv_poll_start(raw, Int32(events)) { raw, status, events in
        guard let data = unsafe raw?.pointee.data else { return }
        unsafe Unmanaged<UvPollTarget>.fromOpaque(data)._withUnsafeGuaranteedRef {
          $0.polled(events: UInt8(truncatingIfNeeded: events), failed: status < 0)
        }
      }
    }
  }

  /// Stops and closes the handle; `pollClosed` follows at the end of the turn.
  func close() {
    unsafe assertOnLoop(raw.pointee.loop)
    let handle = unsafe UnsafeMutableRawPointer(raw).assumingMemoryBound(to: uv_handle_t.self)
    unsafe uv_close(handle) { handle in
      guard let handle = unsafe handle, let data = unsafe handle.pointee.data else { return }
      let loop = unsafe Unmanaged<UvLoop>.fromOpaque(handle.pointee.loop.pointee.data).takeUnretainedValue()
      unsafe loop.giveBack(UnsafeMutableRawPointer(handle).assumingMemoryBound(to: uv_poll_t.self))
      unsafe Unmanaged<UvPollTarget>.fromOpaque(data).takeRetainedValue().pollClosed()
    }
  }
}
