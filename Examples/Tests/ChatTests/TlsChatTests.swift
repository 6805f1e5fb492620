// SPDX-License-Identifier: Apache-2.0
// The chat over TLS: our own client and openssl's in one room, and who is told what when the certificate is not trusted.

import Foundation
import Subprocess
import Testing

extension Programs {
  @Suite struct `A chat over TLS` {
    private let folder = "/tmp/culvert-chat-\(UUID().uuidString.prefix(8))"
    private var certificate: String { "\(folder)/cert.pem" }
    private var key: String { "\(folder)/key.pem" }

    /// Hosts a chat with a certificate for localhost that was made just now.
    private func withTlsServer(_ body: (_ port: String) async throws -> Void) async throws {
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
      defer { try? FileManager.default.removeItem(atPath: folder) }
      let made = try await run([
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
        "-keyout", key,
        "-out", certificate, "-days", "1", "-subj", "/CN=localhost", "-addext",
        "subjectAltName=DNS:localhost",
      ])
      #expect(made.status == .exited(0), "\(made.errors)")
      try await withServer([Program.chat, "serve", "--tls", certificate, key]) { _, port in
        try await body(port)
      }
    }

    @Test func `our client and that of openssl meet in one room`() async throws {
      try await withTlsServer { port in
        let join = ["join", "--tls", "--trust", certificate, "--name", "ann", "localhost:\(port)"]
        try await withChild([Program.chat] + join) { ann in
          try await ann.expect("* hello ann!")
          let other = [
            "-connect", "127.0.0.1:\(port)", "-CAfile", certificate, "-quiet", "-verify_return_error",
          ]
          try await withChild(["openssl", "s_client"] + other) { bob in
            try await bob.expect("what is your name?")
            try await bob.type("bob")
            try await ann.expect("* bob has joined")
            try await ann.type("in secret")
            try await bob.expect("<ann> in secret")
          }
          try await ann.expect("* bob has left")
        }
      }
    }

    @Test func `who does not trust the certificate, or speaks no TLS, is told so`() async throws {
      try await withTlsServer { port in
        let untrusted = try await run([Program.chat, "join", "--tls", "localhost:\(port)"])
        #expect(untrusted.status != .exited(0))
        #expect(
          untrusted.errors.contains("certificate not accepted: self-signed certificate"),
          "\(untrusted.errors)")
        try await withChild(["socat", "-", "TCP:127.0.0.1:\(port)"], ends: .byItself) { client in
          try await client.type("hello")
          try await client.expectEnd()
        }
      }
    }
  }
}
