// SPDX-License-Identifier: Apache-2.0
// What both sides of a connection may say about it. Only values: TlsContext makes something of them.

/// What a client or a server accepts, and what it shows. The defaults are those to have: a client verifies.
///
/// ```swift
/// var configuration = TlsConfiguration()
/// configuration.identity = try TlsIdentity(certificateFile: "cert.pem", keyFile: "key.pem")
/// let context = try TlsContext(server: configuration)
/// ```
/// Which ciphers there are is left to OpenSSL, and to the system's policy for it.
public struct TlsConfiguration: Sendable {
  /// Whom a client trusts to say who a server is.
  public var trust = TlsTrust.system
  /// Our certificate: a server's for all hosts that have none of their own; a client's, if it is asked for one.
  public var identity: TlsIdentity?
  /// A server's certificates by the host that a client asks for (SNI), such as "example.org", or "*.example.org" for one more
  /// label. A client that asks for another one gets `identity`, or is refused if there is none.
  public var hostIdentities: [String: TlsIdentity] = [:]
  /// Whether a server asks its clients for certificates.
  public var clientCertificates = TlsClientCertificates.notAsked
  /// Protocols to speak above, most wanted first, such as "h2" (ALPN). A server refuses a client that offers only others.
  public var applicationProtocols: [String] = []
  /// The lowest version that is accepted.
  public var minimumVersion = TlsVersion.v12
  /// The highest one. Both sides take the highest that they have in common.
  public var maximumVersion = TlsVersion.v13
  /// Whether a server gives its clients tickets, with which they need no whole handshake the next time.
  public var resumesSessions = true

  /// What most clients need; a server needs an `identity`.
  public init() {}
}

/// A version of the protocol.
public enum TlsVersion: Sendable, Hashable, Comparable, CustomStringConvertible {
  /// TLS 1.2.
  case v12
  /// TLS 1.3.
  case v13

  /// "TLS 1.2" or "TLS 1.3".
  public var description: String { self == .v12 ? "TLS 1.2" : "TLS 1.3" }
}

/// Whom a client trusts to say who a server is.
public enum TlsTrust: Sendable {
  /// The authorities that the system trusts, at the place that OpenSSL was built for; `SSL_CERT_FILE` and `SSL_CERT_DIR` in the
  /// environment name others.
  case system
  /// Only these.
  case roots(TlsRoots)
  /// Those of the system, and these.
  case systemAnd(TlsRoots)
  /// Anybody: nothing is checked, so who is in between can read and change everything. For experiments.
  case dangerouslyUnverified
}

/// Whether a server asks its clients for certificates, and whom it trusts to say who they are.
public enum TlsClientCertificates: Sendable {
  /// It does not ask.
  case notAsked
  /// A client may show none; one that it shows is checked.
  case optional(TlsRoots)
  /// Who shows none is refused.
  case required(TlsRoots)
}
