// SPDX-License-Identifier: Apache-2.0
// A session that a client takes up again.

import COpenSSL

/// What a server gave a client to take up again: a handshake with it needs no certificates, and less time of both.
///
/// Got from `TlsStream.session`, given to `TlsStream.connect` or `client`. Good for one more connection, to the same host with the same
/// context; for anything else it is passed over.
@safe public final class TlsSession: @unchecked Sendable {
  let session: OpaquePointer
  private let host: String
  /// Who checked the server's certificate: a resumed session has it checked no more.
  private let context: SslContext

  /// Takes one reference over.
  init(_ session: OpaquePointer, host: String, _ context: SslContext) {
    unsafe self.session = session
    self.host = host
    self.context = context
  }

  deinit { unsafe SSL_SESSION_free(session) }

  func isOf(_ context: SslContext, host: String) -> Bool { self.context === context && self.host == host }
}
