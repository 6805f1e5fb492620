// SPDX-License-Identifier: Apache-2.0
// Listening on a Unix socket, and for its file. SocketFile knows when a file may be deleted.

/// A Unix socket that listens.
///
/// ```swift
/// let listener = try await UnixListener.bind("unix:/run/app.sock", mode: 0o600)
/// try await listener.serve { stream in
///   while let chunk = try await stream.read(upTo: 4096) { try await stream.write(chunk) }
/// }
/// ```
/// Everything that is not here is as `ListenerSocket` says.
public final class UnixListener: ListenerSocket<UnixStream>, @unchecked Sendable {
  private let file: BoundFile

  init(
    _ registration: consuming AsyncRegistration, name: String, file: SocketFile?,
    onPressure: (@Sendable (IoError) -> Void)?
  ) {
    self.file = BoundFile(file)
    super.init(registration, name: name, onPressure: onPressure) { (fd, peer) throws(IoError) in
      try UnixStream(owning: fd, peer: peer)
    }
  }

  deinit { file.remove() }

  /// Listens on `address`: a path, whose file it makes and deletes again when it is closed, or an abstract name.
  ///
  /// A socket's file that nobody listens on is replaced; to find that out it connects, so a listener that is there sees a
  /// connection that ends at once. What is not a socket is never deleted, nor a file that has taken the place of ours.
  /// Two processes that start at the same moment over one stale file can both think so: give them a lock, or use an
  /// abstract name. A process that is killed leaves its file behind.
  ///
  /// `mode` is the file's, as in chmod(2), before anybody can connect; without it umask(2) decides. `backlog` and
  /// `onPressure` are as `TcpListener.bind` has them. Throws `.addressInUse`, `.permissionDenied`, `.notFound` for a
  /// folder that is not there, `.unsupported` for an address of another family. Does not wait. `socket(2)`, `bind(2)`,
  /// `lstat(2)`, `connect(2)`, `unlink(2)`, `chmod(2)`, `listen(2)`.
  public static func bind(
    _ address: SocketAddress, mode: UInt32? = nil, backlog: Int32 = 1024,
    onPressure: (@Sendable (IoError) -> Void)? = nil
  ) async throws(IoError) -> UnixListener {
    let operation = "listen on \(address)"
    if address.family != .unix { throw IoError(.unsupported, during: operation + " with a Unix socket") }
    let registration = try AsyncRegistration(owning: try Socket.stream(for: .unix, during: operation))
    let file = try SocketFile.bind(registration.fd, to: address, mode: mode, during: operation)
    do throws(IoError) {
      try Socket.listen(registration.fd, backlog: backlog, during: operation)
    } catch {
      file?.remove()
      throw error
    }
    return UnixListener(registration, name: "listener on \(address)", file: file, onPressure: onPressure)
  }

  /// Listens on an address in text form, "unix:/path" or "unix:@name" for Linux's abstract names.
  ///
  /// Throws `.malformed`, which quotes the text, for a path that is too long among others, and what
  /// `bind(_:mode:backlog:onPressure:)` throws for an address.
  public static func bind(
    _ text: String, mode: UInt32? = nil, backlog: Int32 = 1024,
    onPressure: (@Sendable (IoError) -> Void)? = nil
  ) async throws(IoError) -> UnixListener {
    try await bind(SocketAddress(text), mode: mode, backlog: backlog, onPressure: onPressure)
  }

  /// Closes: deletes the file if it is still ours, and who waits in `accept` gets `.closed`. Idempotent, and returns at
  /// once. `unlink(2)`, `close(2)`.
  public override func close() {
    file.remove()
    super.close()
  }

  /// Gives the socket away; its file stays. Otherwise as `NetSocket` says.
  public override func releaseFd() async throws(IoError) -> OwnedFd {
    file.keep()
    return try await super.releaseFd()
  }
}
