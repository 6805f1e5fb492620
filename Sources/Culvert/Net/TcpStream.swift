// SPDX-License-Identifier: Apache-2.0
// A TCP connection: making it, what belongs to both of its directions, ending it.

import CCulvert

/// A TCP connection.
///
/// ```swift
/// let stream = try await TcpStream.connect(to: "127.0.0.1:7777")
/// try await stream.write("hello\n")
/// let answer = try await stream.read(upTo: 4096)
/// ```
/// Safe to use from any thread and from several tasks at once; one may read while another writes. Dropping the last
/// reference closes it. Small writes go out at once (`TCP_NODELAY` is on) unless `setNoDelay(false)`.
public final class TcpStream: Sendable {
  /// The other end's address.
  public let peerAddress: SocketAddress
  let bridge: BridgedFd
  let writeTurn = WriteTurn()

  /// Takes over a connected socket.
  init(owning fd: Int32, peer: SocketAddress) throws(IoError) {
    bridge = try BridgedFd(owning: fd)
    peerAddress = peer
    // Refused by a connection that is broken already, whose next read tells.
    try? SocketOption.noDelay.set(fd, to: 1, of: "a connection")
  }

  private init(connecting bridge: BridgedFd, to peer: SocketAddress) {
    self.bridge = bridge
    peerAddress = peer
  }

  /// Connects to `address`, without blocking the thread.
  ///
  /// Throws `.connectionRefused`, `.unreachable`, `.timedOut` (the system's own limit, minutes), `.cancelled`, with
  /// "connect to ADDRESS" as the operation; a connection given up is closed. `socket(2)`, `connect(2)`.
  public static func connect(to address: SocketAddress) async throws(IoError) -> TcpStream {
    let operation = "connect to \(address)"
    if address.family == .unix { throw IoError(.unsupported, during: operation + " with TCP") }
    let fd = try Socket.stream(for: address, during: operation)
    let bridge = try BridgedFd(owning: fd)
    try SocketOption.noDelay.set(fd, to: 1, of: "a connection to \(address)")
    let stream = TcpStream(connecting: bridge, to: address)
    if try Socket.connect(fd, to: address, during: operation) == false {
      bridge.clearReadiness(.writable)
      _ = try await bridge.call(.writable, during: operation) { (fd) throws(IoError) in
        try Socket.isConnected(fd, during: operation)
      }
    }
    return stream
  }

  /// Connects to an address in text form, such as "127.0.0.1:7777" or "[::1]:7777".
  ///
  /// Throws `.malformed`, which quotes the text, and what `connect(to:)` throws for an address.
  public static func connect(to text: String) async throws(IoError) -> TcpStream {
    try await connect(to: SocketAddress(text))
  }

  /// This end's address. `getsockname(2)`.
  public var localAddress: SocketAddress {
    get throws(IoError) {
      try use("read the local address of") { (fd) throws(IoError) in
        try Socket.localAddress(fd, during: "read the local address of \(self)")
      }
    }
  }

  /// Sends the end of our stream once all that was written has gone out; reading goes on.
  ///
  /// A peer that is gone already is no error. `shutdown(2)`.
  public func shutdown() throws(IoError) {
    try use("shut down") { (fd) throws(IoError) in
      try Socket.finishSending(fd, during: "shut down \(self)")
    }
  }

  /// Closes both directions: who waits gets `.closed`. What was written still goes out, in the background.
  /// Idempotent, and returns at once. `close(2)`.
  public func close() {
    bridge.close()
    writeTurn.close()
  }

  /// Closes, and waits until the socket is gone. Cancellation ends only the waiting.
  public func closed() async {
    close()
    await bridge.closed()
  }

  /// One call on the socket, while which its number can't be closed.
  func use<R>(_ verb: String, _ body: (Int32) throws(IoError) -> R) throws(IoError) -> R {
    try bridge.use(during: "\(verb) \(self)", body)
  }
}

extension TcpStream: CustomStringConvertible {
  /// "connection with ADDRESS".
  public var description: String { "connection with \(peerAddress)" }
}

// MARK: options

extension TcpStream {
  /// Whether small writes go out at once. `TCP_NODELAY`.
  public var noDelay: Bool {
    get throws(IoError) {
      try use("read TCP_NODELAY of") { (fd) throws(IoError) in
        try SocketOption.noDelay.get(fd, of: "\(self)") != 0
      }
    }
  }

  /// Says whether small writes go out at once (they do unless told otherwise) or may be gathered. `TCP_NODELAY`.
  public func setNoDelay(_ on: Bool) throws(IoError) {
    try use("set TCP_NODELAY of") { (fd) throws(IoError) in
      try SocketOption.noDelay.set(fd, to: on ? 1 : 0, of: "\(self)")
    }
  }

  /// Hops that packets may make, 1 to 255. `IP_TTL`, `IPV6_UNICAST_HOPS`.
  public var ttl: Int {
    get throws(IoError) {
      try use("read the TTL of") { (fd) throws(IoError) in
        try SocketOption.hops(self.peerAddress.family).get(fd, of: "\(self)")
      }
    }
  }

  /// Sets how many hops packets may make, 1 to 255; other values throw `.invalidArgument`, which names the value.
  /// `IP_TTL`, `IPV6_UNICAST_HOPS`.
  public func setTtl(_ hops: Int) throws(IoError) {
    try use("set the TTL of") { (fd) throws(IoError) in
      try SocketOption.setHops(fd, self.peerAddress.family, to: hops, of: "\(self)")
    }
  }
}
