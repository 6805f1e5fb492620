// SPDX-License-Identifier: Apache-2.0
// Serving over TLS: each handshake is part of its own connection's task, so who is silent holds up nobody.

public import Culvert

/// A listener whose connections speak TLS.
///
/// ```swift
/// let listener = try await TlsListener.bind("0.0.0.0:443", context: context)
/// try await listener.serve { stream in
///   while let chunk = try await stream.read(upTo: 4096) { try await stream.write(chunk) }
/// }
/// ```
/// Safe to use from any thread.
public final class TlsListener<Stream: StreamSocket>: Sendable {
  /// What accepts the connections.
  public let listener: ListenerSocket<Stream>
  /// What handshakes are made with: reload it for a new certificate.
  public let context: TlsContext
  /// How long a handshake may take.
  public let handshakeTimeout: Duration

  /// TLS for the connections of a listener. Who has not shaken hands after `handshakeTimeout` is cut.
  public init(
    _ listener: ListenerSocket<Stream>, context: TlsContext, handshakeTimeout: Duration = .seconds(10)
  ) {
    self.listener = listener
    self.context = context
    self.handshakeTimeout = handshakeTimeout
  }

  /// This end's address.
  public var localAddress: SocketAddress { get throws(IoError) { try listener.localAddress } }

  /// Closes the listener. Connections stay open. Idempotent, and returns at once.
  public func close() { listener.close() }

  /// Shakes hands with each connection, and runs `handler` for it, as `ListenerSocket.serve` does.
  ///
  /// A connection is closed, and its peer told in TLS, when its handler returns or throws. A handshake that fails, or takes too
  /// long (`.timedOut`), goes to `onError` like what a handler throws. A handshake counts among `maximumConnections`.
  public func serve(
    maximumConnections: Int? = nil, onError: @escaping @Sendable (any Error, Stream) -> Void = { _, _ in },
    _ handler: @escaping @Sendable (TlsStream<Stream>) async throws -> Void
  ) async throws(IoError) {
    try await server(maximumConnections: maximumConnections, onError: onError) { stream, _ in
      try await handler(stream)
    }.run()
  }

  /// A server of the connections that come here, as `ListenerSocket.server` makes one. Otherwise as `serve`.
  public func server(
    maximumConnections: Int? = nil, grace: Duration = .seconds(10),
    onError: @escaping @Sendable (any Error, Stream) -> Void = { _, _ in },
    _ handler: @escaping @Sendable (TlsStream<Stream>, Server) async throws -> Void
  ) -> Server {
    listener.server(maximumConnections: maximumConnections, grace: grace, onError: onError) {
      stream, server in
      let secured = try await self.shakeHands(over: stream)
      let result: Result<Void, any Error>
      do { result = .success(try await handler(secured, server)) } catch { result = .failure(error) }
      await secured.closed()
      try result.get()
    }
  }

  private func shakeHands(over stream: Stream) async throws -> TlsStream<Stream> {
    do {
      return try await withTimeout(handshakeTimeout) { [context] in
        try await TlsStream.server(over: stream, context: context)
      }
    } catch let error as IoError where error.code == .timedOut {
      throw IoError(.timedOut, during: "shake hands over \(stream) within \(handshakeTimeout)")
    }
  }
}

extension TlsListener where Stream == TcpStream {
  /// Listens at an address in text form, such as "127.0.0.1:443". Throws what `TcpListener.bind` throws.
  public static func bind(
    _ text: String, context: TlsContext, handshakeTimeout: Duration = .seconds(10)
  ) async throws(IoError) -> TlsListener {
    TlsListener(try await TcpListener.bind(text), context: context, handshakeTimeout: handshakeTimeout)
  }
}

extension Server {
  /// The same for a connection with TLS: what was decrypted and not read yet is part of a request.
  public func waitForRequest<Stream: StreamSocket>(on stream: TlsStream<Stream>) async throws(IoError) -> Bool
  {
    if stream.hasInput { return true }
    return try await waitForRequest(on: stream.base)
  }
}

extension TlsStream {
  /// Whether something has come that was not read, all of it or in part.
  fileprivate var hasInput: Bool { engine.withLock { $0.hasInput } }
}
