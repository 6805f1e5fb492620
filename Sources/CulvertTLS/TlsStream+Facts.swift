// SPDX-License-Identifier: Apache-2.0
// What the handshake has settled.

import CCulvertTLS
import COpenSSL
import Culvert

extension TlsStream {
  /// The version that both sides speak.
  public var version: TlsVersion {
    engine.withLock { unsafe SSL_version($0.connection.pointee.ssl) == TLS1_2_VERSION ? .v12 : .v13 }
  }

  /// The cipher, by its name in the standard, such as "TLS_AES_256_GCM_SHA384".
  public var cipher: String {
    engine.withLock { engine in
      let cipher = unsafe SSL_get_current_cipher(engine.connection.pointee.ssl)
      guard let name = unsafe SSL_CIPHER_standard_name(cipher) else { return "none" }
      return unsafe String(cString: name)
    }
  }

  /// The protocol to speak above, such as "h2"; `nil` if none was agreed upon (ALPN).
  public var applicationProtocol: String? {
    engine.withLock { engine in
      var (name, count): (UnsafePointer<UInt8>?, UInt32) = (nil, 0)
      unsafe SSL_get0_alpn_selected(engine.connection.pointee.ssl, &name, &count)
      if count == 0 { return nil }
      return unsafe String(decoding: UnsafeBufferPointer(start: name, count: Int(count)), as: UTF8.self)
    }
  }

  /// The host that the client has asked for (SNI), at both ends; `nil` if it has not.
  public var serverName: String? {
    engine.withLock { engine in
      let kind = TLSEXT_NAMETYPE_host_name
      guard let name = unsafe SSL_get_servername(engine.connection.pointee.ssl, kind) else { return nil }
      return unsafe String(cString: name)
    }
  }

  /// Whether an earlier session was taken up again, without certificates.
  public var isResumed: Bool {
    engine.withLock { unsafe SSL_session_reused($0.connection.pointee.ssl) == 1 }
  }

  /// For a client: the newest session to take up again; `nil` if there is none. With TLS 1.3 it comes after the handshake, with the
  /// first reads.
  public var session: TlsSession? {
    guard let host else { return nil }
    return engine.withLock { engine in
      if let session = unsafe engine.connection.pointee.session {
        guard unsafe SSL_SESSION_up_ref(session) == 1 else { return nil }
        return unsafe TlsSession(session, host: host, engine.context)
      }
      // With TLS 1.2 a session that was taken up again is good for the next time, too.
      let ssl = unsafe engine.connection.pointee.ssl
      guard unsafe SSL_version(ssl) == TLS1_2_VERSION, unsafe SSL_session_reused(ssl) == 1,
        let session = unsafe SSL_get1_session(ssl)
      else { return nil }
      return unsafe TlsSession(session, host: host, engine.context)
    }
  }

  /// The peer's certificate; `nil` if it has shown none.
  public var peerCertificate: TlsCertificate? {
    engine.withLock { engine in
      guard let certificate = unsafe SSL_get1_peer_certificate(engine.connection.pointee.ssl) else {
        return nil
      }
      defer { unsafe X509_free(certificate) }
      return unsafe TlsCertificate(certificate)
    }
  }
}

/// A certificate that a peer has shown.
public struct TlsCertificate: Sendable, Hashable, CustomStringConvertible {
  /// As it was sent, in DER.
  public let der: [UInt8]
  /// Whose it is and who has issued it, as "CN=example.org, issued by CN=…".
  public let description: String

  init?(_ certificate: OpaquePointer) {
    var bytes: UnsafeMutablePointer<UInt8>?
    let count = unsafe i2d_X509(certificate, &bytes)
    guard count > 0, let text = unsafe culvert_tls_describe(certificate) else { return nil }
    der = unsafe Array(UnsafeBufferPointer(start: bytes, count: Int(count)))
    description = unsafe String(cString: text)
    unsafe culvert_tls_free_text(text)
    unsafe culvert_tls_free_der(bytes)
  }
}
