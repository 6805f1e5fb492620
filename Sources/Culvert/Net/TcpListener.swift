// SPDX-License-Identifier: Apache-2.0
// Listening for TCP connections.

/// A TCP socket that listens.
///
/// ```swift
/// let listener = try await TcpListener.bind("127.0.0.1:7777")
/// try await listener.serve { stream in
///   while let chunk = try await stream.read(upTo: 4096) { try await stream.write(chunk) }
/// }
/// ```
/// Everything that is not here is as `ListenerSocket` says.
public final class TcpListener: ListenerSocket<TcpStream>, @unchecked Sendable {
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
    let socket = try TcpSocket(address.family, for: "listen on \(address)")
    try socket.set(.reuseAddress, to: true)
    if address.family == .ipv6 { try socket.set(.v6Only, to: true) }
    try socket.bind(to: address)
    return try socket.listen(backlog: backlog, onPressure: onPressure)
  }

  /// Listens on an address in text form, such as "127.0.0.1:7777" or "[::1]:0".
  ///
  /// Throws `.malformed`, which quotes the text, and what `bind(_:backlog:onPressure:)` throws for an address.
  public static func bind(
    _ text: String, backlog: Int32 = 1024, onPressure: (@Sendable (IoError) -> Void)? = nil
  ) async throws(IoError) -> TcpListener {
    try await bind(SocketAddress(text), backlog: backlog, onPressure: onPressure)
  }

  convenience init(
    _ registration: consuming AsyncRegistration, name: String, onPressure: (@Sendable (IoError) -> Void)?
  ) {
    // Whoever is accepted inherits it: a system call for the listener, and none for a connection.
    try? SocketOption.noDelay.set(registration.fd, to: true, of: name)
    self.init(registration, name: name, onPressure: onPressure) { (fd, peer) throws(IoError) in
      TcpStream(try AsyncRegistration(owning: fd), peer: peer)
    }
  }
}
