// SPDX-License-Identifier: Apache-2.0
// Watching one descriptor.
//
// Some facts about uv_poll
// - It is level-triggered: the callback comes again in every turn as long as data sits unread. Readable and
//   writable armed for good, as one would with an edge-triggered selector, is a loop at full speed.
// - uv_poll_start costs an epoll_ctl DEL at once and an ADD before the next poll, always; uv_poll_init costs ADD, DEL
//   and FIONBIO. So what is armed stays armed while somebody comes back for it, and handles are used again (UvPollPool).
// - EPOLLERR arrives as status UV_EBADF with no events, and libuv has stopped the handle by then. It says nothing of
//   the error's kind: the next system call tells.
// - uv_poll_stop and uv_close send DEL for the descriptor's *number*. If the number was closed before, they may hit
//   its new owner; a queued ADD that meets a closed number aborts the process. So the number is closed only after
//   either (Descriptor counts the loop as a user), and after uv_close only when its callback has run.
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
  private let raw: UvPollPool.Handle

  static var readable: UInt8 { UInt8(UV_READABLE.rawValue) }
  static var writable: UInt8 { UInt8(UV_WRITABLE.rawValue) }
  static var disconnect: UInt8 { UInt8(UV_DISCONNECT.rawValue) }
  static var prioritized: UInt8 { UInt8(UV_PRIORITIZED.rawValue) }

  /// `isPollable`: it surely is. Fails with EPERM for what can't be polled (a regular file), EEXIST for a number that is watched
  /// already, and with whatever else the system has against it.
  init(_ loop: UvLoop, _ target: UvPollTarget, isPollable: Bool) throws(IoError) {
    unsafe assertOnLoop(loop.raw)
    if isPollable, WatchCount.ofProcess.surelyHasRoom, let used = unsafe loop.polls.take(target.number) {
      unsafe raw = used
    } else {
      unsafe raw = try Self.make(loop, target.number)
      WatchCount.ofProcess.noteRoom()
    }
    unsafe raw.pointee.data = Unmanaged.passRetained(target).toOpaque()
  }

  private static func make(_ loop: UvLoop, _ fd: Int32) throws(IoError) -> UvPollPool.Handle {
    let raw = UvPollPool.Handle.allocate(capacity: 1)
    let status = uvCall(.uvPollInit) { unsafe uv_poll_init(loop.raw, raw, fd) }
    if status == 0 { return unsafe raw }
    unsafe raw.deallocate()
    throw IoError(uv: status, during: "watch file descriptor \(fd)")
  }

  /// Watches for exactly these events; none stops the handle. `armed` is what it watched for so far: nothing, too, after it
  /// has failed.
  func arm(_ events: UInt8, insteadOf armed: UInt8) {
    unsafe assertOnLoop(raw.pointee.loop)
    if events == armed { return }
    WatchCount.ofProcess.add((events == 0 ? 0 : 1) - (armed == 0 ? 0 : 1))
    if events == 0 {
      _ = unsafe uv_poll_stop(raw)
    } else {
      _ = unsafe uv_poll_start(raw, Int32(events)) { raw, status, events in
        guard let data = unsafe raw?.pointee.data else { return }
        if status < 0 { WatchCount.ofProcess.add(-1) }
        unsafe Unmanaged<UvPollTarget>.fromOpaque(data)._withUnsafeGuaranteedRef {
          $0.polled(events: UInt8(truncatingIfNeeded: events), failed: status < 0)
        }
      }
    }
  }

  /// Lets go of the descriptor, for which `armed` was watched: at once, or at the end of the turn, `pollClosed` follows.
  func close(armed: UInt8) {
    let number = unsafe Unmanaged<UvPollTarget>.fromOpaque(raw.pointee.data)._withUnsafeGuaranteedRef {
      $0.number
    }
    let loop = unsafe UvLoop.of(raw)
    if !loop.isRunning, loop.polls.hasRoom(for: number) {
      arm(0, insteadOf: armed)
      unsafe loop.polls.keep(raw, for: number)
      unsafe Self.letGo(raw)
    } else {
      if armed != 0 { WatchCount.ofProcess.add(-1) }
      unsafe Self.closeForGood(raw)
    }
  }

  /// The handle is freed in its close callback.
  static func closeForGood(_ raw: UvPollPool.Handle) {
    unsafe assertOnLoop(raw.pointee.loop)
    let handle = unsafe UnsafeMutableRawPointer(raw).assumingMemoryBound(to: uv_handle_t.self)
    unsafe uv_close(handle) { handle in
      guard let raw = unsafe UnsafeMutableRawPointer(handle)?.assumingMemoryBound(to: uv_poll_t.self) else {
        return
      }
      unsafe UvPoll.letGo(raw)
      unsafe raw.deallocate()
    }
  }

  private static func letGo(_ raw: UvPollPool.Handle) {
    guard let data = unsafe raw.pointee.data else { return }
    unsafe raw.pointee.data = nil
    unsafe Unmanaged<UvPollTarget>.fromOpaque(data).takeRetainedValue().pollClosed()
  }
}
