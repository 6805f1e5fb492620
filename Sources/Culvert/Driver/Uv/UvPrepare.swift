// SPDX-License-Identifier: Apache-2.0
// A look before the poll: whoever has work now must not be kept waiting by it.
// An active idle handle makes libuv poll without waiting; it stops itself when the next turn begins.

import CLibuv

/// Asks before each poll whether there is work, and if so keeps the poll from blocking. Loop thread only.
@safe final class UvPrepare {
  private let prepare: UnsafeMutablePointer<uv_prepare_t>
  private let idle: UnsafeMutablePointer<uv_idle_t>

  init(_ loop: UvLoop) {
    unsafe prepare = .allocate(capacity: 1)
    unsafe idle = .allocate(capacity: 1)
    _ = unsafe uv_idle_init(loop.raw, idle)  // neither has a way to fail
    _ = unsafe uv_prepare_init(loop.raw, prepare)
    unsafe idle.pointee.data = nil
    unsafe prepare.pointee.data = nil
  }

  /// To be called once.
  func start(hasWork: @escaping () -> Bool) {
    let idle = unsafe self.idle
    let callback = UvCallback {
      if hasWork() { _ = unsafe uv_idle_start(idle) { _ = unsafe uv_idle_stop($0) } }
    }
    unsafe prepare.pointee.data = Unmanaged.passRetained(callback).toOpaque()
    _ = unsafe uv_prepare_start(prepare) { unsafe UvCallback.call($0?.pointee.data) }
  }
}
