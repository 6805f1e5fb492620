// SPDX-License-Identifier: Apache-2.0
// Unix datagram sockets: making them, their names, their files. SocketFile knows when a file may be deleted.
//
// Some facts about Unix datagrams (Linux; measured on 6.18)
// - None is lost: who sends to a receiver whose queue is full (`net.unix.max_dgram_qlen`, 10) waits for it to receive.
// - A socket that is connected to such a receiver is not writable, and becomes so when there is room again or the receiver
//   has gone. One that names it in sendto(2) stays writable and gets EAGAIN: the loop has no event for that, so
//   `callToSend` asks poll(2) which of the two it is, and pauses where it would spin.
// - Two that are connected with each other have no such queue: what is on its way is bounded by the sender's buffer, and it
//   is writable again when three quarters of that have been received.
// - When the receiver has gone, a connected sender gets ECONNREFUSED once and is not connected any more.
// - A socket that is connected takes datagrams of its peer only; others get EPERM.
// - Segments (UDP_SEGMENT) are no error here: the kernel overlooks the wish, and sends them as one.

import CCulvert

/// A Unix datagram socket: messages within this machine, in order, none of which is lost.
///
/// ```swift
/// let socket = try await UnixDatagram.bind("unix:/run/app.log", mode: 0o622)
/// for try await (bytes, datagram) in socket.datagrams() { … }
/// ```
/// Who has no name gets no answer: its `datagram.sender` is "unix:". Everything that is not here is as `DatagramSocket`
/// says.
public final class UnixDatagram: DatagramSocket, @unchecked Sendable {
  private let file: BoundFile

  init(_ registration: consuming AsyncRegistration, name: String, file: SocketFile? = nil) {
    self.file = BoundFile(file)
    super.init(registration, name: name, isUnix: true)
  }

  deinit { file.remove() }

  /// Makes a socket on `address`: a path, whose file it makes and deletes again when it is closed, or an abstract name.
  ///
  /// What is at the path already, and `mode`, are treated as `UnixListener.bind` does; to send one must be allowed to write to
  /// the file. Throws `.addressInUse`, `.permissionDenied`, `.notFound` for a folder that is not there, `.unsupported`
  /// for an address of another family. Does not wait. `socket(2)`, `bind(2)`, `lstat(2)`, `connect(2)`, `unlink(2)`,
  /// `chmod(2)`.
  public static func bind(
    _ address: SocketAddress, mode: UInt32? = nil
  ) async throws(IoError) -> UnixDatagram {
    let operation = "bind a Unix datagram socket to \(address)"
    if address.family != .unix { throw IoError(.unsupported, during: operation) }
    let registration = try AsyncRegistration(owning: try Socket.datagram(for: .unix, during: operation))
    let file = try SocketFile.bind(registration.fd, to: address, mode: mode, during: operation)
    return UnixDatagram(registration, name: "Unix datagram socket on \(address)", file: file)
  }

  /// Makes a socket on an address in text form, "unix:/path" or "unix:@name" for Linux's abstract names.
  ///
  /// Throws `.malformed`, which quotes the text, and what `bind(_:mode:)` throws for an address.
  public static func bind(_ text: String, mode: UInt32? = nil) async throws(IoError) -> UnixDatagram {
    try await bind(SocketAddress(text), mode: mode)
  }

  /// Makes a socket without a name, to send by.
  ///
  /// Throws `.tooManyDescriptors` and the like. Does not wait. `socket(2)`.
  public static func unbound() throws(IoError) -> UnixDatagram {
    let fd = try Socket.datagram(for: .unix, during: "make a Unix datagram socket")
    return UnixDatagram(try AsyncRegistration(owning: fd), name: "Unix datagram socket")
  }

  /// Two sockets that are connected with each other and have no name.
  ///
  /// ```swift
  /// let (mine, theirs) = try UnixDatagram.pair()
  /// ```
  /// Throws `.tooManyDescriptors` and the like. Does not wait. `socketpair(2)`.
  public static func pair() throws(IoError) -> (UnixDatagram, UnixDatagram) {
    let (one, other) = try Socket.pair(
      type: culvert_sock_dgram(), during: "make a pair of Unix datagram sockets")
    let name = "Unix datagram socket of a pair"
    let peer = Result { () throws(IoError) in
      UnixDatagram(try AsyncRegistration(owning: other), name: name)
    }
    return (UnixDatagram(try AsyncRegistration(owning: one), name: name), try peer.get())
  }

  /// Makes `address` the peer: `send` needs no address, waits for room by events instead of pauses, and datagrams of others
  /// are refused. Can be done again, to another one; what of the old peer's has not been received is lost then.
  ///
  /// Throws `.connectionRefused` where nobody is, `.notFound`, `.permissionDenied`, `.unsupported` for an address of another
  /// family. Does not wait. `connect(2)`.
  public func connect(to address: SocketAddress) throws(IoError) {
    let operation = "connect \(self) to \(address)"
    if address.family != .unix { throw IoError(.unsupported, during: operation) }
    try use("connect") { (fd) throws(IoError) in
      try Socket.connectDatagram(fd, to: address, during: operation)
    }
  }

  /// Makes the address in text form the peer. Throws `.malformed` too.
  public func connect(to text: String) throws(IoError) { try connect(to: SocketAddress(text)) }

  /// Has no peer any more, and receives from everybody; keeps its name. `connect(2)` with `AF_UNSPEC`.
  public func disconnect() throws(IoError) {
    try use("disconnect") { (fd) throws(IoError) in
      try Socket.connectDatagram(fd, to: nil, during: "disconnect \(self)")
    }
  }

  /// Closes: deletes the file if it is still ours, and who waits gets `.closed`; what has not been received is lost.
  /// Idempotent, and returns at once. `unlink(2)`, `close(2)`.
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
