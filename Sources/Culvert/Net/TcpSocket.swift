// SPDX-License-Identifier: Apache-2.0
// A TCP socket before it is a connection or a listener: for options that must be set first.

/// A TCP socket that is neither connected nor listening yet.
///
/// ```swift
/// let socket = try TcpSocket(.ipv4)
/// try socket.set(.reusePort, to: true)
/// try socket.bind(to: "0.0.0.0:7777")
/// let listener = try socket.listen()
/// ```
/// `connect` and `listen` use it up. Dropped before that, it is closed.
public struct TcpSocket: ~Copyable {
  private let registration: AsyncRegistration
  private let family: SocketAddress.Family
  /// What errors say was being done, where this socket is only a step.
  private let purpose: String?

  /// Makes a socket for addresses of that family, `.ipv4` or `.ipv6`.
  ///
  /// Throws `.unsupported` for a family that TCP has none of, `.tooManyDescriptors` and the like. `socket(2)`.
  public init(_ family: SocketAddress.Family) throws(IoError) {
    try self.init(family, for: nil)
  }

  init(_ family: SocketAddress.Family, for purpose: String?) throws(IoError) {
    let operation = purpose ?? "make a TCP socket for \(family)"
    if family == .unix { throw IoError(.unsupported, during: operation + " with TCP") }
    registration = try AsyncRegistration(owning: try Socket.stream(for: family, during: operation))
    self.family = family
    self.purpose = purpose
  }

  private var text: String { purpose.map { "the socket to \($0)" } ?? "a TCP socket for \(family)" }

  /// Reads an option. `getsockopt(2)`.
  public func get<Value>(_ option: SocketOption<Value>) throws(IoError) -> Value {
    try option.get(registration.fd, of: text)
  }

  /// Sets an option; one that is refused is an error that names the option and the value. `setsockopt(2)`.
  public func set<Value>(_ option: SocketOption<Value>, to value: Value) throws(IoError) {
    try option.set(registration.fd, to: value, of: text)
  }

  /// Gives it an address; port 0 lets the system choose one. Throws `.addressInUse`, `.addressNotAvailable`,
  /// `.permissionDenied`. `bind(2)`.
  public func bind(to address: SocketAddress) throws(IoError) {
    try Socket.bind(registration.fd, to: address, during: purpose ?? "bind \(text) to \(address)")
  }

  /// Gives it an address in text form, such as "127.0.0.1:0". Throws `.malformed` too.
  public func bind(to text: String) throws(IoError) { try bind(to: SocketAddress(text)) }

  /// Its address. `getsockname(2)`.
  public var localAddress: SocketAddress {
    get throws(IoError) {
      try Socket.localAddress(registration.fd, during: purpose ?? "read the address of \(text)")
    }
  }

  /// Listens; otherwise as `TcpListener.bind`. `listen(2)`.
  public consuming func listen(
    backlog: Int32 = 1024, onPressure: (@Sendable (IoError) -> Void)? = nil
  ) throws(IoError) -> TcpListener {
    let address = try localAddress
    try Socket.listen(registration.fd, backlog: backlog, during: purpose ?? "listen on \(address)")
    // Listening has given it a port if it had none.
    let name = "listener on \(try localAddress)"
    return TcpListener(registration, name: name, onPressure: onPressure)
  }

  /// Connects; otherwise as `TcpStream.connect(to:)`. `connect(2)`.
  public consuming func connect(to address: SocketAddress) async throws(IoError) -> TcpStream {
    let operation = "connect to \(address)"
    try set(.noDelay, to: true)
    let stream = TcpStream(registration, peer: address)
    try await stream.connect(to: address, during: operation)
    return stream
  }
}

extension BridgedFd {
  /// Connects, and waits until that has come to an end.
  func connect(to address: SocketAddress, during operation: String) async throws(IoError) {
    let isThere = try use(during: operation) { (fd) throws(IoError) in
      try Socket.connect(fd, to: address, during: operation)
    }
    if isThere { return }
    clearReadiness(.writable)
    _ = try await call(.writable, during: operation) { (fd) throws(IoError) in
      try Socket.isConnected(fd, during: operation)
    }
  }
}
