// SPDX-License-Identifier: Apache-2.0
// What all sockets have: a bridge, options, an address, an end.

/// A socket of any kind.
public protocol NetSocket: Sendable, CustomStringConvertible {
  /// What it is made on, for whatever this library does not offer: `bridge.asyncCall` calls any function on the descriptor.
  var bridge: BridgedFd { get }
  /// Closes. Idempotent, and returns at once. `close(2)`.
  func close()
  /// Gives the socket away: who waits gets `.closed`, as does every later call, and the descriptor, still open, is the
  /// caller's when nobody here uses it any more. A Unix socket's file stays.
  ///
  /// It stays non-blocking. Throws `.closed` when it was closed before, `.shutDown` in a fork. Cancellation does not end the waiting, which is one
  /// turn of the loop.
  ///
  /// ```swift
  /// let fd = try await stream.releaseFd()
  /// let again = try TcpStream(adopting: fd)
  /// ```
  func releaseFd() async throws(IoError) -> OwnedFd
}

extension NetSocket {
  /// Closes, and waits until the socket is gone, so that its address is free. Cancellation ends only the waiting.
  public func closed() async {
    close()
    await bridge.closed()
  }

  /// This end's address. Throws `.closed`. `getsockname(2)`.
  public var localAddress: SocketAddress {
    get throws(IoError) {
      try use("read the local address of") { (fd) throws(IoError) in
        try Socket.localAddress(fd, during: "read the local address of \(self)")
      }
    }
  }

  /// One call on the socket, while which its number can't be closed.
  func use<R>(_ verb: String, _ body: (Int32) throws(IoError) -> R) throws(IoError) -> R {
    try bridge.use(during: "\(verb) \(self)", body)
  }
}

// MARK: limits of time

extension NetSocket {
  /// The longest that a read may wait without getting anything, then it throws `.timedOut`; `nil`, as it is at first, is for ever.
  ///
  /// ```swift
  /// stream.readTimeout = .seconds(30)
  /// ```
  /// For a listener that is `accept`, and for a datagram socket `receive`. Otherwise as `BridgedFd.readTimeout` says.
  public var readTimeout: Duration? {
    get { bridge.readTimeout }
    nonmutating set { bridge.readTimeout = newValue }
  }

  /// The longest that a write may wait without getting rid of anything. Otherwise as `BridgedFd.writeTimeout` says; the turn of
  /// another task's write is waited for without a limit.
  public var writeTimeout: Duration? {
    get { bridge.writeTimeout }
    nonmutating set { bridge.writeTimeout = newValue }
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
