// SPDX-License-Identifier: Apache-2.0
// Watching for one signal. libuv's handler writes to a pipe, so the callback runs on the loop like any other.

import CLibuv

/// A signal handle. Loop thread only.
@safe final class UvSignal {
  private let raw: UnsafeMutablePointer<uv_signal_t>

  /// Fails with EINVAL for what can't be caught.
  init(_ loop: UvLoop, number: Int32, _ callback: @escaping () -> Void) throws(IoError) {
    unsafe assertOnLoop(loop.raw)
    unsafe raw = .allocate(capacity: 1)
    unsafe raw.initialize(to: uv_signal_t())
    var status = uvCall(.uvSignalInit) { unsafe uv_signal_init(loop.raw, raw) }
    if status != 0 {
      unsafe raw.deallocate()
      throw IoError(uv: status, during: "watch signal \(number)")
    }
    unsafe raw.pointee.data = Unmanaged.passRetained(UvCallback(callback)).toOpaque()
    status = unsafe uv_signal_start(
      raw, { handle, _ in unsafe UvCallback.call(handle?.pointee.data) }, number)
    if status != 0 {
      unsafe uvClose(raw)
      throw IoError(uv: status, during: "watch signal \(number)")
    }
  }

  func close() { unsafe uvClose(raw) }
}
