// SPDX-License-Identifier: Apache-2.0
// A configuration that is ready for use by any number of connections, and can be exchanged while they are open.

public import Culvert

/// What connections are made with. Make one, and keep it: to read the system's roots takes milliseconds.
///
/// ```swift
/// let context = try TlsContext(client: TlsConfiguration())
/// ```
/// Safe to use from any thread.
public final class TlsContext: Sendable {
  private let newest: Locked<SslContext>

  /// What a client uses. Throws `.invalidArgument` or `.tlsFailed` for what OpenSSL does not take, such as a key that the system's
  /// policy finds too weak.
  public init(client configuration: TlsConfiguration) throws(IoError) {
    newest = Locked(try SslContext(configuration, isOfServer: false))
  }

  /// What a server uses: it needs an `identity`, or some of `hostIdentities`. Otherwise as `init(client:)`.
  public init(server configuration: TlsConfiguration) throws(IoError) {
    newest = Locked(try SslContext(configuration, isOfServer: true))
  }

  /// What it was made of last.
  public var configuration: TlsConfiguration { current.configuration }

  /// Takes another configuration, such as a new certificate, for the connections that are made from now on.
  ///
  /// Those that are open go on with what they have; sessions begin anew. If it throws, the old one stays.
  public func reload(_ configuration: TlsConfiguration) throws(IoError) {
    let new = try SslContext(configuration, isOfServer: current.isOfServer)
    newest.withLock { $0 = new }
  }

  var current: SslContext { newest.withLock { $0 } }

  /// For whoever gives none: TLS as everybody's, with the system's roots.
  static func ofEveryClient() throws(IoError) -> TlsContext { try everyClients.get() }

  private static let everyClients = Result { () throws(IoError) in
    try TlsContext(client: TlsConfiguration())
  }
}
