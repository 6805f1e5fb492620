// SPDX-License-Identifier: Apache-2.0
// Sockets that somebody else made: a supervisor, another process, a C library, or this library (`releaseFd`).
// What throws here has closed nothing but an `OwnedFd`, and changed nothing but the close-on-exec flag.

extension BridgedFd {
  /// Prepares a socket of that kind, and no other, for being taken over; returns the address that `ask` finds.
  fileprivate static func prepare(
    _ fd: Int32, as kind: SocketKind,
    _ ask: (Int32, @autoclosure () -> String) throws(IoError) -> SocketAddress
  ) throws(IoError) -> SocketAddress {
    let operation = "adopt file descriptor \(fd) as \(kind.rawValue)"
    let found = try SocketKind.of(fd, during: operation)
    if found != kind { throw IoError(.invalidArgument, during: "\(operation), but it is \(found.rawValue)") }
    let address = try ask(fd, operation)
    _ = try Syscalls.prepareSocket(fd).value(during: operation)
    return address
  }
}

extension TcpStream {
  /// Takes over a connected TCP socket: makes it non-blocking and close-on-exec, and turns `TCP_NODELAY` on.
  ///
  /// When this throws, the descriptor is still the caller's: `.invalidArgument` for another kind of socket, which the error
  /// names, `.notConnected`, `.unsupported` for what is no socket, `.badDescriptor`, `.alreadyRegistered`. `getsockopt(2)`,
  /// `getpeername(2)`, `fcntl(2)`.
  public convenience init(adopting fd: Int32) throws(IoError) {
    let peer = try Self.prepare(fd, as: .tcp, Socket.peerAddress)
    self.init(try AsyncRegistration(adopting: fd), peer: peer)
    try? setNoDelay(true)
  }

  /// Takes over a connected TCP socket; closes it if this throws. Otherwise as `init(adopting:)` for a number.
  public convenience init(adopting descriptor: consuming OwnedFd) throws(IoError) {
    try self.init(adopting: descriptor.fd)
    _ = descriptor.take()
  }
}

extension UnixStream {
  /// Takes over a connected Unix stream socket. Otherwise as `TcpStream.init(adopting:)`.
  public convenience init(adopting fd: Int32) throws(IoError) {
    let peer = try Self.prepare(fd, as: .unixStream, Socket.peerAddress)
    self.init(try AsyncRegistration(adopting: fd), peer: peer)
  }

  /// Takes over a connected Unix stream socket; closes it if this throws.
  public convenience init(adopting descriptor: consuming OwnedFd) throws(IoError) {
    try self.init(adopting: descriptor.fd)
    _ = descriptor.take()
  }
}

extension TcpListener {
  /// Takes over a TCP socket that listens, such as one of a supervisor's (`InheritedDescriptors`).
  ///
  /// `.invalidArgument` for one that does not listen. Otherwise as `TcpStream.init(adopting:)`.
  public convenience init(
    adopting fd: Int32, onPressure: (@Sendable (IoError) -> Void)? = nil
  ) throws(IoError) {
    let address = try Self.prepare(fd, as: .tcpListener, Socket.localAddress)
    self.init(try AsyncRegistration(adopting: fd), name: "listener on \(address)", onPressure: onPressure)
  }

  /// Takes over a TCP socket that listens; closes it if this throws.
  public convenience init(
    adopting descriptor: consuming OwnedFd, onPressure: (@Sendable (IoError) -> Void)? = nil
  ) throws(IoError) {
    try self.init(adopting: descriptor.fd, onPressure: onPressure)
    _ = descriptor.take()
  }
}

extension UnixListener {
  /// Takes over a Unix stream socket that listens; its file is left to whoever made it.
  ///
  /// `.invalidArgument` for one that does not listen. Otherwise as `TcpStream.init(adopting:)`.
  public convenience init(
    adopting fd: Int32, onPressure: (@Sendable (IoError) -> Void)? = nil
  ) throws(IoError) {
    let address = try Self.prepare(fd, as: .unixListener, Socket.localAddress)
    let registration = try AsyncRegistration(adopting: fd)
    self.init(registration, name: "listener on \(address)", file: nil, onPressure: onPressure)
  }

  /// Takes over a Unix stream socket that listens; closes it if this throws.
  public convenience init(
    adopting descriptor: consuming OwnedFd, onPressure: (@Sendable (IoError) -> Void)? = nil
  ) throws(IoError) {
    try self.init(adopting: descriptor.fd, onPressure: onPressure)
    _ = descriptor.take()
  }
}

extension UdpSocket {
  /// Takes over a UDP socket, connected or not. Otherwise as `TcpStream.init(adopting:)`.
  public convenience init(adopting fd: Int32) throws(IoError) {
    let address = try Self.prepare(fd, as: .udp, Socket.localAddress)
    self.init(try AsyncRegistration(adopting: fd), bound: address)
  }

  /// Takes over a UDP socket; closes it if this throws.
  public convenience init(adopting descriptor: consuming OwnedFd) throws(IoError) {
    try self.init(adopting: descriptor.fd)
    _ = descriptor.take()
  }
}

extension UnixDatagram {
  /// Takes over a Unix datagram socket, connected or not; its file is left to whoever made it. Otherwise as
  /// `TcpStream.init(adopting:)`.
  public convenience init(adopting fd: Int32) throws(IoError) {
    let address = try Self.prepare(fd, as: .unixDatagram, Socket.localAddress)
    self.init(try AsyncRegistration(adopting: fd), name: "Unix datagram socket on \(address)")
  }

  /// Takes over a Unix datagram socket; closes it if this throws.
  public convenience init(adopting descriptor: consuming OwnedFd) throws(IoError) {
    try self.init(adopting: descriptor.fd)
    _ = descriptor.take()
  }
}
