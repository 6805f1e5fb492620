// SPDX-License-Identifier: Apache-2.0
// The waiter's end of a registration.

/// One source's registration, from its owner's side: waiting, and giving it up. Safe from any thread.
struct AsyncRegistration: ~Copyable, Sendable {
  let info: RegistrationInfo

  /// Takes over `fd`, and makes it non-blocking. When this throws, the descriptor is still the caller's, untouched.
  init(adopting fd: Int32) throws(IoError) {
    let info = RegistrationInfo(adopting: fd, isPollable: false)
    do throws(IoError) {
      try info.claim(during: "register file descriptor \(fd)")
      _ = try Syscalls.setNonblocking(fd, true).value(during: "make file descriptor \(fd) non-blocking")
    } catch {
      info.disown()
      throw error
    }
    self.info = info
  }

  /// Takes over a descriptor; closes it if this throws.
  init(adopting descriptor: consuming OwnedFd) throws(IoError) {
    try self.init(adopting: descriptor.fd)
    _ = descriptor.take()
  }

  /// Takes over a duplicate of `fd`.
  init(borrowing fd: Int32) throws(IoError) {
    let copy = try Syscalls.duplicate(fd).value(during: "duplicate file descriptor \(fd)")
    try self.init(adopting: OwnedFd(adopting: Int32(copy)))
  }

  /// Takes over a descriptor that was made here, non-blocking, and can be polled; closes it even if this throws.
  init(owning fd: Int32) throws(IoError) {
    let info = RegistrationInfo(adopting: fd, isPollable: true)
    try info.claim(during: "register file descriptor \(fd)")
    self.info = info
  }

  /// The descriptor's number. Valid until this is closed.
  var fd: Int32 { info.number }

  // Everything that an end needs is in `info`, which outlives this value.
  deinit { Self.close(info) }

  /// Returns when one of `interest` is ready as far as is known; an error condition counts. `deadline` is that of a call that
  /// may wait several times: 0 at first.
  @inline(__always)
  func requestReadiness(
    _ interest: IoEventInterest, until deadline: inout UInt64, during operation: @autoclosure () -> String
  ) async throws(IoError) -> WakeReason {
    try info.origin.check(during: operation())
    switch info.outlook(interest) {
    case .ready: return .ready
    case .mustBind: try IoDriverHandle.current.addIoSource(info)
    case .mustWait: break
    }
    let reason =
      info.limits.isEmpty
      ? await info.wait(for: interest) : await info.wait(for: interest, until: &deadline)
    try reason.check(during: operation())
    return reason
  }

  /// A try would have blocked, or has taken all there was.
  @inline(__always)
  func clearReadiness(_ interest: IoEventInterest) { info.clearReadiness(interest) }

  func close() { Self.close(info) }

  /// Ends as a close does, for good, but the number stays open and ours, for calls that do not wait.
  func endWaits() { Self.end(info) }

  /// Closes, and waits until the number is no longer ours: the loop has let go, and so has every call in flight.
  /// Cancellation ends only the waiting.
  func closed() async {
    close()
    await Self.gone(info)
  }

  /// Ends as a close does, but gives the number away unclosed, once it is no longer ours; false when it was closed before.
  /// Not to be cancelled: the number would be nobody's.
  func givenUp() async -> Bool {
    guard info.giveUp() else { return false }
    let info = info
    Self.end(info)
    await Task { await Self.gone(info) }.value
    return true
  }

  private static func gone(_ info: RegistrationInfo) async {
    let key = TaskIdentity.current.address
    defer { FdTable.forget(info.number, key: key) }
    while !info.isGone {
      let latch = Latch()
      FdTable.onClose(of: info.number, key: key) { latch.open() }
      // Asked after the action is in place, or the close might come in between.
      if info.isGone { return }
      if await latch.wait(for: ()) == .cancelled { return }
    }
  }

  private static func close(_ info: RegistrationInfo) {
    if info.close() { end(info) }
  }

  /// Wakes who waits, refuses who comes, and has the loop let go. More than once is as good as once.
  private static func end(_ info: RegistrationInfo) {
    let home = info.end(.closed)
    home?.removeIoSource(info)
  }
}

extension IoDriverHandle {
  /// The calling worker's driver; elsewhere the one that the upper floor offers to code without a worker.
  static var current: IoDriverHandle {
    get throws(IoError) {
      if let driver = IoDriver.current { return try driver.handle.inItsProcess }
      return try fallback.inItsProcess
    }
  }
}

extension IoDriverHandle {
  private var inItsProcess: IoDriverHandle {
    get throws(IoError) {
      try origin.check(during: "wait on a worker")
      return self
    }
  }
}

extension WakeReason {
  /// Throws what a wait that ended so has to throw, if anything.
  @inline(__always)
  func check(during operation: @autoclosure () -> String) throws(IoError) {
    if self != .ready && self != .error { throw failure(during: operation()) }
  }

  @inline(never)
  private func failure(during operation: String) -> IoError {
    if let errno { return IoError(watchErrno: errno, during: operation) }
    switch self {
    case .closed: return IoError(.closed, during: operation)
    case .shutDown: return IoError(.shutDown, during: operation)
    case .timedOut: return IoError(.timedOut, during: operation)
    default: return IoError(.cancelled, during: operation)
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
