// SPDX-License-Identifier: Apache-2.0
// Any pollable descriptor as an async source, and the one retry loop of the library.

import CCulvert

/// A file descriptor whose system calls can be waited for: a socket, a pipe, a C library's connection.
///
/// ```swift
/// let events = try BridgedFd(adopting: inotify_init1(IN_CLOEXEC))
/// let count = try await events.asyncCall(.readable) { fd in
///   let n = read(fd, &buffer, buffer.count)
///   if n >= 0 { return n }
///   return errno == EAGAIN ? nil : fail()  // nil: would block, wait and call again
/// }
/// ```
/// Safe to use from any thread and from several tasks at once. Dropping the last reference closes it.
public final class BridgedFd: Sendable {
  let descriptor: Descriptor
  let registration: AsyncRegistration

  /// Takes over `fd`: it is made non-blocking, and closed when this is.
  ///
  /// When this throws, the descriptor is still the caller's, untouched: `.alreadyRegistered` when another `BridgedFd`
  /// has that number, `.badDescriptor`. A regular file can't be waited for: the first wait throws `.unsupported`.
  /// `fcntl(2)`.
  public convenience init(adopting fd: Int32) throws(IoError) {
    let descriptor = Descriptor(adopting: fd)
    do throws(IoError) {
      try descriptor.claim(during: "register file descriptor \(fd)")
      _ = try Syscalls.setNonblocking(fd, true).value(during: "make file descriptor \(fd) non-blocking")
    } catch {
      descriptor.disown()
      throw error
    }
    self.init(claimed: descriptor)
  }

  /// Uses a duplicate of `fd`, which stays its owner's to close.
  ///
  /// The two share one open file description: it becomes non-blocking for both, and a stream's end (FIN) is sent
  /// when both are closed. `fcntl(2)` with `F_DUPFD_CLOEXEC`.
  public convenience init(borrowing fd: Int32) throws(IoError) {
    let copy = Int32(try Syscalls.duplicate(fd).value(during: "duplicate file descriptor \(fd)"))
    do throws(IoError) {
      try self.init(adopting: copy)
    } catch {
      Syscalls.close(copy)
      throw error
    }
  }

  /// Takes over a descriptor that was made here, non-blocking; closes it even if this throws.
  convenience init(owning fd: Int32) throws(IoError) {
    let descriptor = Descriptor(adopting: fd)
    try descriptor.claim(during: "register file descriptor \(fd)")
    self.init(claimed: descriptor)
  }

  private init(claimed descriptor: Descriptor) {
    self.descriptor = descriptor
    registration = AsyncRegistration(descriptor)
  }

  /// The descriptor's number, for system calls that do not close it. Valid until this is closed.
  public var fd: Int32 { descriptor.number }

  /// Calls `body` until it does not answer `nil`, and waits for `interest` in between.
  ///
  /// `body` makes one non-blocking system call: it returns the value, `nil` where the call would block, or throws.
  /// Throws what `body` throws; `.closed` once this is closed; `.cancelled` when the task is cancelled while it waits,
  /// or between calls, the latest after `Limits.callsPerJob` of them (whatever `body` returned is never lost);
  /// `.shutDown` when the worker that it lives on has ended.
  public func asyncCall<R>(
    _ interest: IoEventInterest, _ body: (Int32) throws(IoError) -> R?
  ) async throws(IoError) -> R {
    try await call(interest, during: "use file descriptor \(fd)", body)
  }

  /// Returns when at least one of `interest` holds, and says which.
  ///
  /// An error condition on the descriptor counts as all of them: the next call tells the error. Throws as `asyncCall`
  /// does, and `.unsupported` for `.peerFinished` where the platform can't wait for it. `poll(2)`, `epoll_wait(2)`.
  @discardableResult
  public func ready(for interest: IoEventInterest) async throws(IoError) -> IoEventInterest {
    try await ready(for: interest, of: "file descriptor \(fd)")
  }

  /// Closes: who waits here gets `.closed`, and the number is closed when the last call in flight has returned.
  /// Idempotent, and returns at once. `close(2)`.
  public func close() { registration.close() }

  /// Closes, and waits until the number is closed, so that its port or name is free again.
  /// Cancellation ends only the waiting.
  public func closed() async { await registration.closed() }
}

extension BridgedFd {
  func ready(for interest: IoEventInterest, of what: @autoclosure () -> String) async throws(IoError)
    -> IoEventInterest
  {
    if interest.contains(.peerFinished), !Platform.canWaitForPeerFinished {
      throw IoError(.unsupported, during: "wait until \(what()) is \(interest)")
    }
    return try await call(interest, during: "wait until \(what()) is \(interest)") { (fd) throws(IoError) in
      let now = try Syscalls.pollNow(fd, for: interest.rawValue).value(during: "poll \(what())")
      return now == 0 ? nil : IoEventInterest(rawValue: UInt8(now))
    }
  }

  /// A would-block that was seen outside the retry loop.
  @inline(__always)
  func clearReadiness(_ interest: IoEventInterest) { registration.clearReadiness(interest) }

  /// The one retry loop: readiness, try, would-block, clear, again.
  @inline(__always)
  func call<R>(
    _ interest: IoEventInterest, during operation: @autoclosure () -> String,
    _ body: (Int32) throws(IoError) -> R?
  ) async throws(IoError) -> R {
    var failures = 0
    if culvert_spend_budget() != culvert_budget_left { try await giveWay(during: operation()) }
    while true {
      let reason = try await registration.requestReadiness(interest, during: operation())
      if let result = try use(during: operation(), body) { return result }
      if reason == .error { try explain(&failures, during: operation()) }
      registration.clearReadiness(interest)
    }
  }

  /// For a source that is always ready: a wait would let others run, and notice that the task is cancelled.
  private func giveWay(during operation: @autoclosure () -> String) async throws(IoError) {
    // Off the workers the executor sees to fairness.
    if IoDriver.current != nil { await Task.yield() }
    if Task.isCancelled { throw IoError(.cancelled, during: operation()) }
  }

  /// One call of `body`, while which the number can't be closed.
  @inline(__always)
  func use<R>(
    during operation: @autoclosure () -> String, _ body: (Int32) throws(IoError) -> R
  ) throws(IoError) -> R {
    guard descriptor.acquire() else { throw IoError(.closed, during: operation()) }
    defer { descriptor.release() }
    return try body(descriptor.number)
  }

  /// The loop saw an error, yet the call would block. The error is pending on the socket, or its error queue holds
  /// something; if neither helps, waiting again would spin.
  private func explain(_ failures: inout Int, during operation: @autoclosure () -> String) throws(IoError) {
    failures += 1
    let pending = try use(during: operation()) { (fd) throws(IoError) in Syscalls.takePendingError(fd) }
    if pending != 0 { throw IoError(errno: pending, during: operation()) }
    if failures > 1 { throw IoError(errno: EIO, during: operation() + ": an error condition that stays") }
    try use(during: operation()) { (fd) throws(IoError) in Syscalls.drainErrorQueue(fd) }
  }
}
