// SPDX-License-Identifier: Apache-2.0
// What OpenSSL says went wrong, read from its error queue: the calling thread's own, so always before the next wait.

import CCulvertTLS
import COpenSSL
import Culvert

/// Why a connection, or a file, is no good.
struct TlsFailure: Error {
  let code: IoError.Code
  let detail: String

  func error(during operation: String) -> IoError { IoError(code, detail, during: operation) }

  /// The stream ended before TLS did.
  static let truncated = TlsFailure(
    code: .unexpectedEnd, detail: "without TLS's own end (close_notify): what came may have been cut off")
  static let outOfMemory = TlsFailure(code: .outOfMemory, detail: "")
}

extension TlsFailure {
  /// Takes the calling thread's queue. The oldest error that TLS itself has put there is the reason: those before it are what a
  /// cipher said of it, and those behind it what came of it.
  static func take(rejection: UnsafePointer<CChar>? = nil) -> TlsFailure {
    var reason: UInt = 0
    while case let error = ERR_get_error(), error != 0 {
      if reason == 0
        || culvert_tls_library(reason) != ERR_LIB_SSL && culvert_tls_library(error) == ERR_LIB_SSL
      {
        reason = error
      }
    }
    if reason == 0 { return outOfMemory }
    if culvert_tls_is_verification_failure(reason), let rejection = unsafe rejection {
      return TlsFailure(code: .certificateRejected, detail: unsafe String(cString: rejection))
    }
    let alert = culvert_tls_alert(reason)
    return alert >= 0 ? TlsFailure(alert: alert, reason) : TlsFailure(reason)
  }

  /// The peer's alert, as "alert 45, certificate expired".
  private init(alert: Int32, _ error: UInt) {
    var name = unsafe String(cString: SSL_alert_desc_string_long(alert))
    // The newest ones have a name only as errors, such as "tlsv13 alert certificate required".
    let words = Self.reason(of: error)
    if name == "unknown", let range = words.firstRange(of: " alert ") {
      name = String(words[range.upperBound...])
    }
    self = TlsFailure(code: .tlsRefused, detail: "alert \(alert), \(name)")
  }

  private init(_ error: UInt) {
    let reason = Self.reason(of: error)
    guard culvert_tls_library(error) == ERR_LIB_SSL else {
      self = TlsFailure(code: .tlsFailed, detail: reason)
      return
    }
    switch culvert_tls_reason(error) {
    case SSL_R_WRONG_VERSION_NUMBER, SSL_R_HTTP_REQUEST, SSL_R_HTTPS_PROXY_REQUEST:
      self = TlsFailure(code: .malformed, detail: "what came is not TLS (\(reason))")
    case SSL_R_PACKET_LENGTH_TOO_LONG, SSL_R_DATA_LENGTH_TOO_LONG, SSL_R_ENCRYPTED_LENGTH_TOO_LONG,
      SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC, SSL_R_UNEXPECTED_MESSAGE, SSL_R_UNEXPECTED_RECORD,
      SSL_R_BAD_RECORD_TYPE, SSL_R_LENGTH_MISMATCH, SSL_R_BAD_LENGTH, SSL_R_INVALID_ALERT,
      SSL_R_EXCESSIVE_MESSAGE_SIZE, SSL_R_TOO_MANY_WARN_ALERTS, SSL_R_TOO_MANY_KEY_UPDATES:
      self = TlsFailure(code: .malformed, detail: reason)
    case SSL_R_UNSUPPORTED_PROTOCOL, SSL_R_NO_PROTOCOLS_AVAILABLE, SSL_R_NO_SHARED_CIPHER,
      SSL_R_WRONG_SSL_VERSION, SSL_R_NO_APPLICATION_PROTOCOL, SSL_R_VERSION_TOO_LOW, SSL_R_CALLBACK_FAILED,
      SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM, SSL_R_NO_CIPHERS_AVAILABLE:
      self = TlsFailure(code: .tlsIncompatible, detail: reason)
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
      self = TlsFailure(code: .certificateRejected, detail: "there is none (\(reason))")
    default:
      self = TlsFailure(code: .tlsFailed, detail: reason)
    }
  }

  private static func reason(of error: UInt) -> String {
    guard let text = unsafe ERR_reason_error_string(error) else {
      return "library \(culvert_tls_library(error)), reason \(culvert_tls_reason(error))"
    }
    return unsafe String(cString: text)
  }
}
