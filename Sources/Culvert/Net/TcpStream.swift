// SPDX-License-Identifier: Apache-2.0
// TCP connections: making them, and what only they have.

import CCulvert

/// A TCP connection.
///
/// ```swift
/// let stream = try await TcpStream.connect(to: "127.0.0.1:7777")
/// try await stream.write("hello\n")
/// let answer = try await stream.read(upTo: 4096)
/// ```
/// Small writes go out at once (`TCP_NODELAY` is on) unless `setNoDelay(false)`. Everything else is as `StreamSocket` says.
public final class TcpStream: StreamSocket, @unchecked Sendable {
  /// Takes over a connected socket.
  convenience init(owning fd: Int32, peer: SocketAddress) throws(IoError) {
    self.init(try AsyncRegistration(owning: fd), peer: peer)
    // Refused by a connection that is broken already, whose next read tells.
    try? SocketOption.noDelay.set(fd, to: true, of: "\(self)")
  }

  /// Connects to `address`, without blocking the thread.
  ///
  /// Throws `.connectionRefused`, `.unreachable`, `.timedOut` (the system's own limit, minutes), `.cancelled`, with
  /// "connect to ADDRESS" as the operation; a connection given up is closed. `socket(2)`, `connect(2)`.
  public static func connect(to address: SocketAddress) async throws(IoError) -> TcpStream {
    try await TcpSocket(address.family, for: "connect to \(address)").connect(to: address)
  }

  /// Connects to an address in text form, such as "127.0.0.1:7777" or "[::1]:7777", or to a host, "example.org:80".
  ///
  /// A name is looked up as `connect(host:port:)` does. Throws `.malformed`, which quotes the text, and what `connect(to:)`
  /// throws for an address, and `connect(host:port:)` for a name.
  public static func connect(to text: String) async throws(IoError) -> TcpStream {
    if let (name, port) = Host.nameAndPort(text) { return try await connect(host: name, port: port) }
    return try await connect(to: SocketAddress(text))
  }

  /// Connects to the first address of a host that answers.
  ///
  /// ```swift
  /// let stream = try await TcpStream.connect(host: "example.org", port: 80)
  /// ```
  /// IPv6 and IPv4 take turns, in the resolver's order; the next address is tried 250 ms after the one before, or as soon as
  /// that has failed (RFC 8305). The other attempts are closed when one succeeds, and all when the task is cancelled. `host`
  /// may be numeric. Throws what `resolve(_:port:prefer:resolver:)` throws, `.cancelled`, `.shutDown`, and if no address
  /// answers an error that lists each with its reason; its code is that of the first failure that is not for want of a
  /// route. `socket(2)`, `connect(2)`.
  ///
  /// - Parameters:
  ///   - host: a name, or a numeric address.
  ///   - port: where to connect to there.
  ///   - prefer: which families are tried, and which first.
  ///   - resolver: who looks the name up.
  ///   - setUp: called with each attempt's socket before it connects; what it throws is that attempt's failure.
  public static func connect(
    host: String, port: UInt16, prefer: AddressPreference = .any,
    resolver: any Resolver = SystemResolver.shared,
    setUp: @escaping @Sendable (borrowing TcpSocket) throws(IoError) -> Void = { _ in }
  ) async throws(IoError) -> TcpStream {
    let addresses = try await resolve(host, port: port, prefer: prefer, resolver: resolver)
    var race = ConnectRace(addresses, of: host, stagger: HappyEyeballs.stagger, setUp: setUp)
    return try await race.run()
  }

  /// Whether small writes go out at once. `TCP_NODELAY`.
  public var noDelay: Bool { get throws(IoError) { try get(.noDelay) } }

  /// Says whether small writes go out at once (they do unless told otherwise) or may be gathered. `TCP_NODELAY`.
  public func setNoDelay(_ on: Bool) throws(IoError) { try set(.noDelay, to: on) }

  /// How the connection is doing: round trips, retransmissions, bytes.
  ///
  /// Throws `.unsupported` where the platform does not tell (Darwin). `getsockopt(2)` with `TCP_INFO`.
  ///
  /// ```swift
  /// print(try stream.info.roundTripTime)
  /// ```
  public var info: TcpInfo {
    get throws(IoError) {
      var raw = culvert_tcp_info()
      let result = try use("ask about") { (fd) throws(IoError) in Syscalls.tcpInfo(fd, &raw) }
      _ = try result.value(during: "ask about \(self)")
      return TcpInfo(raw)
    }
  }

  /// Closes at once, with a reset: what has not gone out yet is lost, and the peer gets `.connectionReset`.
  ///
  /// The only use of `SO_LINGER` here: with a time it would block the thread that closes. `close(2)`.
  public func reset() {
    _ = try? use("reset") { (fd) throws(IoError) in try Socket.resetOnClose(fd, during: "reset \(self)") }
    close()
  }
}

extension TcpStream {
  /// Two connected streams whose buffers, unlike TCP's, neither grow nor empty by themselves: for tests.
  package static func overSocketPair() throws(IoError) -> (TcpStream, TcpStream) {
    let (one, other) = try Socket.pair(during: "make a pair of sockets")
    return (try TcpStream(owning: one, peer: .unnamed), try TcpStream(owning: other, peer: .unnamed))
  }
}
