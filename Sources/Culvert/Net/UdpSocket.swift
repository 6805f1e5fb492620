// SPDX-License-Identifier: Apache-2.0
// UDP sockets: making them, and what only they have.

import CCulvert

/// A UDP socket.
///
/// ```swift
/// let socket = try await UdpSocket.bind("0.0.0.0:7000")
/// for try await (bytes, datagram) in socket.datagrams() {
///   try await socket.send(bytes, to: datagram.sender)
/// }
/// ```
/// Everything that is not here is as `DatagramSocket` says.
public final class UdpSocket: DatagramSocket, @unchecked Sendable {
  /// What it was bound to; with the port that the system chose.
  private let bound: SocketAddress

  /// Makes a socket on `address`; port 0 lets the system choose one, and `localAddress` tells which.
  ///
  /// Several sockets can have one address if each asks for it: with `reuseAddress` all of them get what is sent to a group,
  /// with `reusePort` too they share out what is sent to the address. An IPv6 socket has nothing to do with IPv4. Throws
  /// `.addressInUse`, `.addressNotAvailable`, `.permissionDenied`, `.unsupported` for a Unix address. Does not wait.
  /// `socket(2)`, `bind(2)`.
  public static func bind(
    _ address: SocketAddress, reuseAddress: Bool = false, reusePort: Bool = false
  ) async throws(IoError) -> UdpSocket {
    let operation = "bind a UDP socket to \(address)"
    if address.family == .unix { throw IoError(.unsupported, during: operation) }
    let registration = try AsyncRegistration(
      owning: try Socket.datagram(for: address.family, during: operation))
    let fd = registration.fd
    let what = "a UDP socket for \(address)"
    if reuseAddress { try SocketOption.reuseAddress.set(fd, to: true, of: what) }
    if reusePort { try SocketOption.reusePort.set(fd, to: true, of: what) }
    if address.family == .ipv6 { try SocketOption.v6Only.set(fd, to: true, of: what) }
    try Socket.bind(fd, to: address, during: operation)
    return UdpSocket(registration, bound: try Socket.localAddress(fd, during: operation))
  }

  /// Makes a socket on an address in text form, such as "127.0.0.1:7000" or "[::1]:0".
  ///
  /// Throws `.malformed`, which quotes the text, and what `bind(_:reuseAddress:reusePort:)` throws for an address.
  public static func bind(
    _ text: String, reuseAddress: Bool = false, reusePort: Bool = false
  ) async throws(IoError) -> UdpSocket {
    try await bind(SocketAddress(text), reuseAddress: reuseAddress, reusePort: reusePort)
  }

  init(_ registration: consuming AsyncRegistration, bound: SocketAddress) {
    self.bound = bound
    super.init(registration, name: "UDP socket on \(bound)", isUnix: false)
  }

  /// Makes `address` the peer: datagrams of others no longer arrive (what came before still does), `send` needs no address,
  /// and errors that come back are told. Can be done again, to another one.
  ///
  /// Nothing is sent. Throws `.unreachable`, `.permissionDenied` for a broadcast without the option,
  /// `.unsupported` for another family. Does not wait. `connect(2)`.
  public func connect(to address: SocketAddress) throws(IoError) {
    try use("connect") { (fd) throws(IoError) in
      try Socket.connectDatagram(fd, to: address, during: "connect \(self) to \(address)")
    }
  }

  /// Makes the address in text form the peer. Throws `.malformed` too.
  public func connect(to text: String) throws(IoError) { try connect(to: SocketAddress(text)) }

  /// Has no peer any more, and receives from everybody. Keeps its port, as long as nobody takes it in the instant in which
  /// the system has let go of it. `connect(2)` with `AF_UNSPEC`.
  public func disconnect() throws(IoError) {
    try use("disconnect") { (fd) throws(IoError) in
      try Socket.connectDatagram(fd, to: nil, during: "disconnect \(self)")
      if try Socket.localAddress(fd, during: "disconnect \(self)").port == 0 {
        try Socket.bind(fd, to: bound, during: "disconnect \(self)")
      }
    }
  }
}
