// SPDX-License-Identifier: Apache-2.0
// What all sockets have, besides a descriptor: options, and an address.

/// A socket of any kind.
///
/// A descriptor like any other: `asyncCall` makes any call on it that this library does not offer, and `releaseFd` gives it away.
///
/// ```swift
/// let fd = try await stream.releaseFd()
/// let again = try TcpStream(adopting: fd)
/// ```
/// A Unix socket's file stays when it is given away.
public class NetSocket: BridgedFd, @unchecked Sendable {
  /// This end's address. Throws `.closed`. `getsockname(2)`.
  public final var localAddress: SocketAddress {
    get throws(IoError) {
      try use("read the local address of") { (fd) throws(IoError) in
        try Socket.localAddress(fd, during: "read the local address of \(self)")
      }
    }
  }

  /// One call on the socket, while which its number can't be closed.
  final func use<R>(_ verb: String, _ body: (Int32) throws(IoError) -> R) throws(IoError) -> R {
    try use(during: "\(verb) \(self)", body)
  }
}

// MARK: options

extension NetSocket {
  /// Reads an option. Throws `.unsupported` where this kind of socket has none such. `getsockopt(2)`.
  ///
  /// ```swift
  /// let bytes = try stream.get(.receiveBuffer)
  /// ```
  public func get<Value>(_ option: SocketOption<Value>) throws(IoError) -> Value {
    try use("read \(option.name) of") { (fd) throws(IoError) in try option.get(fd, of: "\(self)") }
  }

  /// Sets an option. What is out of range, or refused by the system, is an error that names the option and the value.
  /// `setsockopt(2)`.
  ///
  /// ```swift
  /// try stream.set(.keepAlive, to: true)
  /// try stream.set(.keepAliveIdle, to: .seconds(30))
  /// ```
  public func set<Value>(_ option: SocketOption<Value>, to value: Value) throws(IoError) {
    try use("set \(option.name) of") { (fd) throws(IoError) in try option.set(fd, to: value, of: "\(self)") }
  }

  /// Hops that packets may make, 1 to 255. `IP_TTL`, `IPV6_UNICAST_HOPS`.
  public var ttl: Int { get throws(IoError) { try get(.hops) } }

  /// Sets how many hops packets may make, 1 to 255. `IP_TTL`, `IPV6_UNICAST_HOPS`.
  public func setTtl(_ hops: Int) throws(IoError) { try set(.hops, to: hops) }
}
