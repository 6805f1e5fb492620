// SPDX-License-Identifier: Apache-2.0
// Connecting to a host: the first address that answers, and then TLS.

public import Culvert

extension TlsStream where Base == TcpStream {
  /// Connects to the first address of a host that answers, and shakes hands: the host must prove that it has this name.
  ///
  /// ```swift
  /// let stream = try await TlsStream.connect(host: "example.org", port: 443)
  /// ```
  /// It has no limit of time but the system's: `withTimeout` gives it one. Throws what `TcpStream.connect(host:port:)` and
  /// `client(over:host:context:session:)` throw; the connection is closed then, as when the task is cancelled.
  ///
  /// - Parameters:
  ///   - host: the name to look up, which the server must prove to have.
  ///   - port: the port to connect to.
  ///   - context: what to accept and to show; the system's roots if there is none.
  ///   - session: one of an earlier connection with that host.
  ///   - prefer: which families are tried, and which first.
  ///   - resolver: who looks the name up.
  public static func connect(
    host: String, port: UInt16, context: TlsContext? = nil, session: TlsSession? = nil,
    prefer: AddressPreference = .any, resolver: any Resolver = SystemResolver.shared
  ) async throws(IoError) -> TlsStream<TcpStream> {
    let stream = try await TcpStream.connect(host: host, port: port, prefer: prefer, resolver: resolver)
    return try await client(over: stream, host: host, context: context, session: session)
  }
}
