// SPDX-License-Identifier: Apache-2.0
// The one timer that a loop has: it ends a poll when the earliest of our own timers is due.
//
// Loop time is in whole milliseconds and stale after a long job. So it is brought up to date before arming, the delay
// is rounded up, and it is at least 1 ms: 1.44 runs a timer of 0 again and again if it is set in a timer callback.

import CLibuv

/// A one-shot timer. Loop thread only.
@safe final class UvTimer {
  private let raw: UnsafeMutablePointer<uv_timer_t>
  private let loop: UvLoop

  init(_ loop: UvLoop, _ callback: @escaping () -> Void) {
    self.loop = loop
    unsafe raw = .allocate(capacity: 1)
    _ = unsafe uv_timer_init(loop.raw, raw)  // has no way to fail
    unsafe raw.pointee.data = Unmanaged.passRetained(UvCallback(callback)).toOpaque()
  }

  /// Fires once, not before `nanoseconds` have passed; takes the place of an earlier `start`.
  func start(nanoseconds: UInt64) {
    unsafe assertOnLoop(loop.raw)
    unsafe uv_update_time(loop.raw)
    let milliseconds = max(1, nanoseconds / 1_000_000 + (nanoseconds % 1_000_000 == 0 ? 0 : 1))
    _ = unsafe uv_timer_start(raw, { unsafe UvCallback.call($0?.pointee.data) }, milliseconds, 0)
  }

  func stop() {
    unsafe assertOnLoop(loop.raw)
    _ = unsafe uv_timer_stop(raw)
  }
}
