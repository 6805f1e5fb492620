// SPDX-License-Identifier: Apache-2.0
// Listening for TCP connections.

import CCulvert

/// A TCP socket that listens.
///
/// ```swift
/// let listener = try await TcpListener.bind("127.0.0.1:7777")
/// try await listener.serve { stream in
///   while let chunk = try await stream.read(upTo: 4096) { try await stream.write(chunk) }
/// }
/// ```
/// Safe to use from any thread and from several tasks at once. Dropping the last reference closes it.
public final class TcpListener: Sendable {
  private let bridge: BridgedFd
  private let name: String
  private let onPressure: (@Sendable (IoError) -> Void)?

  /// Listens on `address`; port 0 lets the system choose one, and `localAddress` tells which.
  ///
  /// The address can be bound again while old connections linger (`SO_REUSEADDR`); an IPv6 listener takes no IPv4
  /// connections. `backlog` is how many connections the system keeps for `accept`; it has an upper bound of its own
  /// (`net.core.somaxconn`). `onPressure` is called when connections can't be accepted for want of descriptors or
  /// memory, once until one succeeds. Throws `.addressInUse`, `.addressNotAvailable`, `.permissionDenied`, `.unsupported` for
  /// a Unix address. Does not wait. `socket(2)`, `bind(2)`, `listen(2)`.
  public static func bind(
    _ address: SocketAddress, backlog: Int32 = 1024, onPressure: (@Sendable (IoError) -> Void)? = nil
  ) async throws(IoError) -> TcpListener {
    let operation = "listen on \(address)"
    if address.family == .unix { throw IoError(.unsupported, during: operation + " with TCP") }
    let fd = try Socket.stream(for: address, during: operation)
    let bridge = try BridgedFd(owning: fd)
    try SocketOption.reuseAddress.set(fd, to: 1, of: "a listener on \(address)")
    if address.family == .ipv6 { try SocketOption.v6Only.set(fd, to: 1, of: "a listener on \(address)") }
    try Socket.bind(fd, to: address, during: operation)
    try Socket.listen(fd, backlog: backlog, during: operation)
    let name = "listener on \(try Socket.localAddress(fd, during: operation))"
    return TcpListener(bridge, name: name, onPressure: onPressure)
  }

  /// Listens on an address in text form, such as "127.0.0.1:7777" or "[::1]:0".
  ///
  /// Throws `.malformed`, which quotes the text, and what `bind(_:backlog:onPressure:)` throws for an address.
  public static func bind(
    _ text: String, backlog: Int32 = 1024, onPressure: (@Sendable (IoError) -> Void)? = nil
  ) async throws(IoError) -> TcpListener {
    try await bind(SocketAddress(text), backlog: backlog, onPressure: onPressure)
  }

  private init(_ bridge: BridgedFd, name: String, onPressure: (@Sendable (IoError) -> Void)?) {
    self.bridge = bridge
    self.name = name
    self.onPressure = onPressure
  }

  /// Waits for the next connection.
  ///
  /// Connections that ended before they were accepted are passed over. When the process or the system has no descriptor
  /// or memory left, it pauses (5 to 160 ms, less if one of this library's descriptors is closed) and tries again: the
  /// connection stays in the backlog meanwhile, and `onPressure` is told once. Throws `.closed`, `.cancelled`,
  /// `.shutDown`; no accepted connection is lost by cancellation. `accept4(2)`.
  public func accept() async throws(IoError) -> TcpStream {
    var pause = AcceptPause()
    while true {
      do throws(IoError) {
        let (fd, peer) = try await bridge.call(.readable, during: "accept from \(name)") {
          (fd) throws(IoError) in
          try self.acceptNow(fd)
        }
        return try TcpStream(owning: fd, peer: peer)
      } catch {
        guard AcceptPause.isCalledFor(by: error) else { throw error }
        if pause.isFirst { onPressure?(error) }
        try await pause.wait(during: "accept from \(name)")
      }
    }
  }

  private func acceptNow(_ fd: Int32) throws(IoError) -> (fd: Int32, peer: SocketAddress)? {
    while true {
      do throws(IoError) {
        return try Socket.accept(fd, during: "accept from \(name)")
      } catch {
        // The fault of one connection, not of the listener: accept(2) says to try again.
        switch error.errno {
        case ECONNABORTED, EPROTO, ENETDOWN, ENOPROTOOPT, EHOSTDOWN, EHOSTUNREACH, EOPNOTSUPP, ENETUNREACH:
          continue
        default: throw error
        }
      }
    }
  }

  /// The connections that arrive, until the listener is closed.
  ///
  /// ```swift
  /// for try await stream in listener.connections { … }
  /// ```
  /// Ends when the listener is closed; throws what else `accept` throws, and can then be used again.
  public var connections: TcpConnections { TcpConnections(self) }

  /// The address that it listens on. `getsockname(2)`.
  public var localAddress: SocketAddress {
    get throws(IoError) {
      try bridge.use(during: "read the address of \(name)") { (fd) throws(IoError) in
        try Socket.localAddress(fd, during: "read the address of \(self.name)")
      }
    }
  }

  /// Closes: who waits in `accept` gets `.closed`. Idempotent, and returns at once. `close(2)`.
  public func close() { bridge.close() }

  /// Closes, and waits until the socket is gone, so that its port is free.
  /// Cancellation ends only the waiting.
  public func closed() async { await bridge.closed() }
}

extension TcpListener {
  /// Hops that packets of accepted connections may make, 1 to 255. `IP_TTL`, `IPV6_UNICAST_HOPS`.
  public var ttl: Int {
    get throws(IoError) {
      let family = try localAddress.family
      return try bridge.use(during: "read the TTL of \(name)") { (fd) throws(IoError) in
        try SocketOption.hops(family).get(fd, of: self.name)
      }
    }
  }

  /// Sets how many hops packets may make, 1 to 255; other values throw `.invalidArgument`, which names the value.
  /// `IP_TTL`, `IPV6_UNICAST_HOPS`.
  public func setTtl(_ hops: Int) throws(IoError) {
    let family = try localAddress.family
    try bridge.use(during: "set the TTL of \(name)") { (fd) throws(IoError) in
      try SocketOption.setHops(fd, family, to: hops, of: self.name)
    }
  }
}

/// The connections of a listener, one after the other.
public struct TcpConnections: AsyncSequence, Sendable {
  private let listener: TcpListener
  init(_ listener: TcpListener) { self.listener = listener }

  /// Starts to take connections; several iterators share them out.
  public func makeAsyncIterator() -> Iterator { Iterator(listener: listener) }

  /// Takes connections from a listener.
  public struct Iterator: AsyncIteratorProtocol {
    fileprivate let listener: TcpListener

    /// The next connection, or `nil` when the listener is closed; throws what else `accept` throws.
    public func next(isolation actor: isolated (any Actor)? = #isolation) async throws(IoError) -> TcpStream?
    {
      do throws(IoError) {
        return try await listener.accept()
      } catch {
        if error.code == .closed { return nil }
        throw error
      }
    }
  }
}
