// SPDX-License-Identifier: Apache-2.0
// The waiter's end of a registration.

/// One source's registration, from its owner's side: waiting, and giving it up. Safe from any thread.
struct AsyncRegistration: ~Copyable, Sendable {
  let info: RegistrationInfo

  /// The descriptor's number must have been claimed.
  init(_ descriptor: Descriptor) {
    info = RegistrationInfo(descriptor)
  }

  // Everything that an end needs is in `info`, which outlives this value.
  deinit { Self.close(info) }

  /// Returns when one of `interest` is ready as far as is known; an error condition counts.
  @inline(__always)
  func requestReadiness(
    _ interest: IoEventInterest, during operation: @autoclosure () -> String
  ) async throws(IoError) -> WakeReason {
    switch info.outlook(interest) {
    case .ready: return .ready
    case .mustBind: try IoDriverHandle.current.addIoSource(info)
    case .mustWait: break
    }
    let reason = await info.wait(for: interest)
    switch reason {
    case .ready, .error: return reason
    case .cancelled: throw IoError(.cancelled, during: operation())
    case .closed: throw IoError(.closed, during: operation())
    case .shutDown: throw IoError(.shutDown, during: operation())
    case .failed(let errno): throw IoError(watchErrno: errno, during: operation())
    }
  }

  /// A try would have blocked, or has taken all there was.
  @inline(__always)
  func clearReadiness(_ interest: IoEventInterest) { info.clearReadiness(interest) }

  func close() { Self.close(info) }

  /// Closes, and waits until the number is no longer ours: the loop has let go, and so has every call in flight.
  /// Cancellation ends only the waiting.
  func closed() async {
    close()
    let (descriptor, key) = (info.descriptor, TaskIdentity.current.address)
    defer { FdTable.forget(descriptor.number, key: key) }
    while !descriptor.isGone {
      let latch = Latch()
      FdTable.onClose(of: descriptor.number, key: key) { latch.open() }
      // Asked after the action is in place, or the close might come in between.
      if descriptor.isGone { return }
      if await latch.wait(for: ()) == .cancelled { return }
    }
  }

  private static func close(_ info: RegistrationInfo) {
    guard info.descriptor.close() else { return }
    let home = info.end(.closed)
    home?.removeIoSource(info)
  }
}

extension IoDriverHandle {
  /// The calling worker's driver; elsewhere the one that the upper floor offers to code without a worker.
  static var current: IoDriverHandle {
    get throws(IoError) {
      if let driver = IoDriver.current { return driver.handle }
      return try fallback
    }
  }
}

extension IoError {
  /// The loop refused to watch: EPERM is its word for "not a thing that can be waited for".
  fileprivate init(watchErrno errno: Int32, during operation: String) {
    let error = IoError(errno: errno, during: operation)
    self =
      error.code == .permissionDenied
      ? IoError(.unsupported, during: operation + ": wait for readiness") : error
  }
}
