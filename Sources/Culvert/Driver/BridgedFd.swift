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
/// Safe to use from any thread and from several tasks at once. Dropping the last reference closes it. A `write(2)` of yours to a
/// pipe that nobody reads any more raises SIGPIPE, as ever: ignore that signal, or send to a socket with `MSG_NOSIGNAL`.
public class BridgedFd: @unchecked Sendable, CustomStringConvertible {
  final let registration: AsyncRegistration

  init(_ registration: consuming AsyncRegistration) {
    self.registration = registration
  }

  /// Takes over `fd`: it is made non-blocking, and closed when this is.
  ///
  /// When this throws, the descriptor is still the caller's, untouched: `.alreadyRegistered` when another `BridgedFd`
  /// has that number, `.badDescriptor`. A regular file can't be waited for: the first wait throws `.unsupported`.
  /// `fcntl(2)`.
  public convenience init(adopting fd: Int32) throws(IoError) {
    self.init(try AsyncRegistration(adopting: fd))
  }

  /// Uses a duplicate of `fd`, which stays its owner's to close.
  ///
  /// The two share one open file description: it becomes non-blocking for both, and a stream's end (FIN) is sent
  /// when both are closed. Throws `.badDescriptor`, `.tooManyDescriptors`. `fcntl(2)` with `F_DUPFD_CLOEXEC`.
  public convenience init(borrowing fd: Int32) throws(IoError) {
    self.init(try AsyncRegistration(borrowing: fd))
  }

  /// Takes over a descriptor, such as one that came from another process, which then shares its non-blocking mode; closes it if
  /// this throws. Otherwise as `init(adopting:)` for a number.
  public convenience init(adopting descriptor: consuming OwnedFd) throws(IoError) {
    self.init(try AsyncRegistration(adopting: descriptor))
  }

  final var descriptor: Descriptor { registration.info }

  /// The descriptor's number, for system calls that do not close it. Valid until this is closed.
  public final var fd: Int32 { registration.fd }

  /// Calls `body` until it does not answer `nil`, and waits for `interest` in between.
  ///
  /// `body` makes one non-blocking system call: it returns the value, `nil` where the call would block, or throws.
  /// That the peer has finished, once known, stays ready: a body that waits for only that and answers `nil` all the same is
  /// called again and again, though it gives way to others.
  ///
  /// Throws what `body` throws; `.closed` once this is closed; `.cancelled` when the task is cancelled while it waits,
  /// or between calls, the latest after `Limits.callsPerJob` of them (whatever `body` returned is never lost);
  /// `.shutDown` when the worker that it lives on has ended.
  public final func asyncCall<R>(
    _ interest: IoEventInterest, _ body: (Int32) throws(IoError) -> R?
  ) async throws(IoError) -> R {
    try await call(interest, during: "use \(self)", body)
  }

  /// Returns when at least one of `interest` holds, and says which.
  ///
  /// An error condition on the descriptor counts as all of them: the next call tells the error. Throws as `asyncCall`
  /// does, and `.unsupported` for `.peerFinished` and `.priority` where the platform can't wait for them. `poll(2)`,
  /// `epoll_wait(2)`.
  @discardableResult
  public final func ready(for interest: IoEventInterest) async throws(IoError) -> IoEventInterest {
    if !interest.isDisjoint(with: [.peerFinished, .priority]), !Platform.canWaitForPeerFinished {
      throw IoError(.unsupported, during: "wait until \(self) is \(interest)")
    }
    return try await call(interest, during: "wait until \(self) is \(interest)") { (fd) throws(IoError) in
      let now = try Syscalls.pollNow(fd, for: interest.rawValue).value(during: "poll \(self)")
      return now == 0 ? nil : IoEventInterest(rawValue: UInt8(now))
    }
  }

  /// Closes: who waits here gets `.closed`, and the number is closed when the last call in flight has returned.
  /// Idempotent, and returns at once. `close(2)`.
  public func close() { registration.close() }

  /// Closes, and waits until the number is closed, so that its port or name is free again.
  /// Cancellation ends only the waiting.
  public final func closed() async {
    close()
    await registration.closed()
  }

  /// Gives the descriptor away: who waits here gets `.closed`, as does every later call, and the number, still open, is the
  /// caller's when the loop has let go of it and the last call in flight has returned.
  ///
  /// It stays non-blocking. Throws `.closed` when this was closed before, `.shutDown` in a fork. Cancellation does not end the
  /// waiting, which is one turn of the loop.
  ///
  /// ```swift
  /// let fd = try await bridge.releaseFd().take()
  /// ```
  public func releaseFd() async throws(IoError) -> OwnedFd {
    let operation = "release \(self)"
    // The parent's loop would never let go.
    try registration.info.origin.check(during: operation)
    guard await registration.givenUp() else { throw IoError(.closed, during: operation) }
    return OwnedFd(adopting: fd)
  }

  /// "file descriptor N", or what else it is.
  public var description: String { "file descriptor \(fd)" }
}

/// How far the short way went.
enum ShortCall<R> {
  case result(R)
  /// The task is to wait in the lobby, which expects it, if it is in no actor's name.
  case mustWait
  /// `BridgedFd.call` does it, from the beginning.
  case leftToCall
}

extension BridgedFd {
  /// Waits until the loop reports one of `interest`; that, and no call, is all that tells of some things.
  func reported(_ interest: IoEventInterest, during operation: @autoclosure () -> String)
    async throws(IoError)
  {
    var deadline: UInt64 = 0
    _ = try await registration.requestReadiness(interest, until: &deadline, during: operation())
  }

  /// As `call`, but `nil` where that would wait.
  func callNow<R>(
    during operation: @autoclosure () -> String, _ body: (Int32) throws(IoError) -> R?
  ) async throws(IoError) -> R? {
    try await Budget.spend(during: operation())
    return try use(during: operation(), body)
  }

  /// Whether a read would not block. Asks the kernel. `poll(2)`.
  func isReadable(during operation: @autoclosure () -> String) throws(IoError) -> Bool {
    try use(during: operation()) { (fd) throws(IoError) in
      try Syscalls.pollNow(fd, for: IoEventInterest.readable.rawValue).value(during: operation()) != 0
    }
  }

  /// Whether a try is worth while, as far as is known. Not in a fork: there `call` has the error.
  @inline(__always)
  func mayBeReady(_ interest: IoEventInterest) -> Bool {
    registration.info.outlook(interest) == .ready && !registration.info.origin.isElsewhere
  }

  /// Ends the waits here, those to come too, with `.closed`; the descriptor stays open, for calls that do not wait.
  func endWaits() { registration.endWaits() }
  var hasEndedWaits: Bool { registration.info.refusesWaits }

  /// Has who waits for `interest`, or is about to, look again.
  func nudge(_ interest: IoEventInterest) { registration.info.nudge(interest) }

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
    var deadline: UInt64 = 0
    while true {
      try await Budget.spend(during: operation())
      let reason = try await registration.requestReadiness(interest, until: &deadline, during: operation())
      if let result = try attempt(interest, after: reason, &failures, during: operation(), body) {
        return result
      }
    }
  }

  /// One try, `nil` where it would block: then the loop has to report anew.
  @inline(__always)
  private func attempt<R>(
    _ interest: IoEventInterest, after reason: WakeReason, _ failures: inout Int,
    during operation: @autoclosure () -> String, _ body: (Int32) throws(IoError) -> R?
  ) throws(IoError) -> R? {
    if let result = try use(during: operation(), body) { return result }
    if reason == .error { try explain(&failures, during: operation()) }
    registration.clearReadiness(interest)
    return nil
  }

  // The short way: what `call` does nearly always, in pieces that suspend nobody, for callers that suspend themselves. Whatever
  // is out of the ordinary is left to `call`.

  /// One try, if it is worth while and nobody else is due; `nil` when `call` has to do it, from the beginning.
  @inline(__always)
  func callAtOnce<R>(
    _ interest: IoEventInterest, during operation: @autoclosure () -> String,
    _ body: (Int32) throws(IoError) -> R?
  ) throws(IoError) -> R? {
    if !mayBeReady(interest) || !Budget.spendOne() { return nil }
    var failures = 0
    return try attempt(interest, after: .ready, &failures, during: operation(), body)
  }

  /// One try, if it is worth while.
  @inline(__always)
  func callShort<R>(
    _ interest: IoEventInterest, during operation: @autoclosure () -> String,
    _ body: (Int32) throws(IoError) -> R?
  ) throws(IoError) -> ShortCall<R> {
    if !Budget.spendOne() || registration.info.origin.isElsewhere { return .leftToCall }
    if registration.info.outlook(interest) == .ready {
      var failures = 0
      if let result = try attempt(interest, after: .ready, &failures, during: operation(), body) {
        return .result(result)
      }
    }
    return registration.info.isOrdinaryWait(for: interest) ? .mustWait : .leftToCall
  }

  /// The try after a wait that `callShort` asked for; `nil` when `call` has to go on.
  @inline(__always)
  func callShort<R>(
    _ interest: IoEventInterest, after reason: WakeReason, during operation: @autoclosure () -> String,
    _ body: (Int32) throws(IoError) -> R?
  ) throws(IoError) -> R? {
    try reason.check(during: operation())
    var failures = 0
    return try attempt(interest, after: reason, &failures, during: operation(), body)
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
  @inline(never)
  private func explain(_ failures: inout Int, during operation: @autoclosure () -> String) throws(IoError) {
    failures += 1
    let pending = try use(during: operation()) { (fd) throws(IoError) in Syscalls.takePendingError(fd) }
    if pending != 0 { throw IoError(errno: pending, during: operation()) }
    let stays = try use(during: operation()) { (fd) throws(IoError) in
      Syscalls.drainErrorQueue(fd)
      return Syscalls.hasError(fd)
    }
    // Somebody else may have been told of it, any number of times: it stays only if it is there now.
    if failures > 1 && stays {
      throw IoError(errno: EIO, during: operation() + ": an error condition that stays")
    }
  }
}
