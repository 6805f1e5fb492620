// SPDX-License-Identifier: Apache-2.0
// Unix stream connections: making them, and who is at the other end. FdPassing.swift has what else only they have.

import CCulvert

/// A connection between two processes of this machine, over a Unix socket.
///
/// ```swift
/// let stream = try await UnixStream.connect(to: "unix:/run/app.sock")
/// try await stream.write("hello\n")
/// let answer = try await stream.read(upTo: 4096)
/// ```
/// Everything that is not here is as `StreamSocket` says. The end that connected has no name, so that the other one's
/// `peerAddress` is mostly "unix:".
public final class UnixStream: StreamSocket, @unchecked Sendable {
  /// Takes over a connected socket.
  convenience init(owning fd: Int32, peer: SocketAddress) throws(IoError) {
    self.init(try AsyncRegistration(owning: fd), peer: peer)
  }

  /// Connects to `address`, without blocking the thread.
  ///
  /// While the listener's backlog is full, for which a Unix socket has no event, it pauses (5 to 160 ms) and tries again,
  /// as a blocking call would wait: without a limit, so give the task a deadline where one is wanted. Throws
  /// `.connectionRefused` when nobody listens there, `.notFound`, `.permissionDenied`, `.cancelled`, `.shutDown`,
  /// `.unsupported` for an address of another family, with "connect to ADDRESS" as the operation; a connection given up
  /// is closed. `socket(2)`, `connect(2)`.
  public static func connect(to address: SocketAddress) async throws(IoError) -> UnixStream {
    let operation = "connect to \(address)"
    if address.family != .unix { throw IoError(.unsupported, during: operation + " with a Unix socket") }
    let stream = try UnixStream(
      owning: try Socket.stream(for: .unix, during: operation), peer: address)
    var pause = Backoff()
    while true {
      do throws(IoError) {
        try await stream.connect(to: address, during: operation)
        return stream
      } catch {
        guard error.errno == EAGAIN else { throw error }
        try await pause.wait(during: operation)
      }
    }
  }

  /// Connects to an address in text form, "unix:/path" or "unix:@name" for Linux's abstract names.
  ///
  /// Throws `.malformed`, which quotes the text, and what `connect(to:)` throws for an address.
  public static func connect(to text: String) async throws(IoError) -> UnixStream {
    try await connect(to: SocketAddress(text))
  }

  /// Two streams that are connected with each other and have no name.
  ///
  /// ```swift
  /// let (mine, theirs) = try UnixStream.pair()
  /// ```
  /// Throws `.tooManyDescriptors` and the like. Does not wait. `socketpair(2)`.
  public static func pair() throws(IoError) -> (UnixStream, UnixStream) {
    let (one, other) = try Socket.pair(during: "make a pair of Unix streams")
    let peer = Result { () throws(IoError) in try UnixStream(owning: other, peer: .unnamed) }
    return (try UnixStream(owning: one, peer: .unnamed), try peer.get())
  }

  /// Who made the other end: the process that connected, or that listened, at the time when it did.
  ///
  /// The kernel's word, which the peer can't forge; but the descriptor may have been given on since, and the process may
  /// have ended and its number be another's. Throws `.closed`. `SO_PEERCRED`; `getpeereid(3)`, `LOCAL_PEERPID`.
  ///
  /// ```swift
  /// guard try stream.peerCredentials.uid == getuid() else { return }
  /// ```
  public var peerCredentials: PeerCredentials {
    get throws(IoError) {
      try use("read the credentials of the peer of") { (fd) throws(IoError) in
        let raw = try Socket.peerCredentials(fd, during: "read the credentials of the peer of \(self)")
        return PeerCredentials(uid: raw.uid, gid: raw.gid, pid: raw.pid > 0 ? raw.pid : nil)
      }
    }
  }
}

/// A process as the kernel knows it.
public struct PeerCredentials: Sendable, Hashable {
  /// The effective user's number.
  public let uid: UInt32
  /// The effective group's number.
  public let gid: UInt32
  /// The process's number, where the platform tells and this process may see it.
  public let pid: Int32?
}
