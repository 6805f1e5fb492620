// SPDX-License-Identifier: Apache-2.0
// Each wrong thing fails, with words of its own.
import CulvertTLS
import CulvertTesting
import Foundation
import Testing

@testable import Culvert

@Suite(.timeLimit(watchdog)) struct TlsRejectionTests {
  /// What a client says of a server's certificate, and what the server is told.
  private func rejection(
    of identity: TlsIdentity, host: String = "localhost",
    client adjust: (inout TlsConfiguration) throws -> Void = { _ in }
  ) async throws -> (client: IoError, server: IoError) {
    let contexts = try Contexts(client: adjust, server: { $0.identity = identity })
    return try await onOneWorker { _ in
      let (near, far) = try await TcpStream.loopbackPair()
      let (client, server) = await contexts.outcomes(over: near, far, host: host)
      if case .success(let server) = server {
        // With TLS 1.3 a server may be through before the client is.
        let error = try await failure { try await server.read(upTo: 1) }
        return (try #require(client.failure), error)
      }
      return (try #require(client.failure), try #require(server.failure))
    }
  }

  @Test func `a certificate that has expired`() async throws {
    let old = try TestAuthority.shared.get().issue("old", for: "DNS:localhost", days: -1)
    let (client, server) = try await rejection(of: old.identity)
    #expect(client.code == .certificateRejected)
    #expect(
      client.description.wholeMatch(
        of:
          #/shake hands with localhost over connection with 127.0.0.1:\d+: certificate not accepted: certificate has expired, on .* GMT \(certificate 0, CN=old, issued by CN=Culvert test root\)/#
      ) != nil, "\(client)")
    #expect(server.code == .tlsRefused && server.detail == "alert 45, certificate expired", "\(server)")
  }

  @Test func `a certificate of another host`() async throws {
    let other = try TestAuthority.shared.get().issue("other", for: "DNS:other.example,IP:192.0.2.1")
    let (client, _) = try await rejection(of: other.identity)
    #expect(client.code == .certificateRejected)
    #expect(
      client.detail
        == "hostname mismatch, for it is for other.example, 192.0.2.1 (certificate 0, CN=other, issued by CN=Culvert test root)"
    )
    let (byAddress, _) = try await rejection(of: other.identity, host: "127.0.0.1")
    #expect(byAddress.detail.hasPrefix("IP address mismatch, for it is for other.example, 192.0.2.1 ("))
    // A name that is an address is no address.
    let text = try TestAuthority.shared.get().issue("text", for: "DNS:127.0.0.1")
    #expect(try await rejection(of: text.identity, host: "127.0.0.1").client.code == .certificateRejected)
  }

  @Test(arguments: ["localhost", "LOCALHOST", "localhost.", "127.0.0.1", "::1", "[::1]"])
  func `a host that the certificate has is accepted, however it is written`(host: String) async throws {
    try await onOneWorker { _ in
      let (near, far) = try await TcpStream.loopbackPair()
      _ = try await Contexts().pair(over: near, far, host: host)
    }
  }

  @Test(arguments: ["", "with\0zero", String(repeating: "a", count: 300)])
  func `a host that is none`(host: String) async throws {
    try await onOneWorker { _ in
      let (near, far) = try await TcpStream.loopbackPair()
      let outcomes = try await Contexts().outcomes(over: near, far, host: host)
      #expect(outcomes.client.failure?.code == .malformed)
    }
  }

  @Test func `a root that nobody knows`() async throws {
    let (client, server) = try await rejection(
      of: TestAuthority.shared.get().localhost.identity, client: { $0.trust = .system })
    #expect(client.code == .certificateRejected)
    #expect(client.detail.hasPrefix("unable to get local issuer certificate (certificate 0, CN=localhost"))
    #expect(server.detail == "alert 48, unknown CA")
  }

  @Test func `a certificate that only its owner has signed`() async throws {
    let own = try TestAuthority.shared.get().selfSigned("own", for: "DNS:localhost")
    let (client, _) = try await rejection(of: own.identity)
    #expect(client.code == .certificateRejected)
    #expect(client.detail == "self-signed certificate (certificate 0, CN=own, issued by CN=own)")
    // It is its own root if somebody says so.
    let trusting = try Contexts(
      client: { $0.trust = .roots(try TlsRoots(file: own.certificateFile)) },
      server: { $0.identity = own.identity })
    try await onOneWorker { _ in _ = try await trusting.tcpPair() }
  }

  @Test func `nothing is checked when that is said in so many words`() async throws {
    let own = try TestAuthority.shared.get().selfSigned("own2", for: "DNS:elsewhere.example")
    let careless = try Contexts(
      client: { $0.trust = .dangerouslyUnverified }, server: { $0.identity = own.identity })
    try await onOneWorker { _ in _ = try await careless.tcpPair() }
  }

  @Test func `a certificate for another purpose`() async throws {
    let client = try TestAuthority.shared.get().issue(
      "purpose", for: "DNS:localhost", extensions: "extendedKeyUsage=clientAuth")
    let rejection = try await rejection(of: client.identity).client
    #expect(rejection.code == .certificateRejected)
    // OpenSSL has said so in several ways.
    #expect(rejection.detail.contains(" certificate purpose (certificate 0, CN=purpose"), "\(rejection)")
  }

  @Test func `versions that have nothing in common`() async throws {
    let contexts = try Contexts(
      client: { $0.maximumVersion = .v12 }, server: { $0.minimumVersion = .v13 })
    try await onOneWorker { _ in
      let (near, far) = try await TcpStream.loopbackPair()
      let (client, server) = await contexts.outcomes(over: near, far)
      #expect(server.failure?.code == .tlsIncompatible && server.failure?.detail == "unsupported protocol")
      #expect(client.failure?.detail == "alert 70, protocol version")
    }
  }

  @Test func `a client without the certificate that is wanted`() async throws {
    let roots = try TestAuthority.shared.get().roots
    let contexts = try Contexts(server: { $0.clientCertificates = .required(roots) })
    try await onOneWorker { _ in
      let (near, far) = try await TcpStream.loopbackPair()
      let (client, server) = await contexts.outcomes(over: near, far)
      #expect(server.failure?.code == .certificateRejected)
      #expect(server.failure?.detail == "there is none (peer did not return a certificate)")
      // With TLS 1.3 a client is through before the server has looked.
      let error = try await failure { try await client.get().read(upTo: 1) }
      #expect(error.code == .tlsRefused && error.detail == "alert 116, certificate required", "\(error)")
    }
  }

  @Test func `a client with a certificate of strangers`() async throws {
    let authority = try TestAuthority.shared.get()
    let stranger = try authority.selfSigned("stranger", for: "DNS:stranger")
    let contexts = try Contexts(
      client: { $0.identity = stranger.identity },
      server: { $0.clientCertificates = .optional(authority.roots) })
    try await onOneWorker { _ in
      let (near, far) = try await TcpStream.loopbackPair()
      let server = await contexts.outcomes(over: near, far).server
      #expect(server.failure?.code == .certificateRejected)
      #expect(
        server.failure?.detail
          == "self-signed certificate (certificate 0, CN=stranger, issued by CN=stranger)")
    }
  }

  // MARK: what is no TLS

  /// How a server's and a client's handshake end when the peer says `bytes`.
  private func answer(to bytes: [UInt8], end: Bool = false) async throws -> (server: IoError, client: IoError)
  {
    try await onOneWorker { _ in
      let contexts = try Contexts()
      var errors: [IoError] = []
      for isServer in [true, false] {
        let (near, far) = try await TcpStream.loopbackPair()
        try await near.write(bytes)
        if end { try near.shutdown() }
        errors.append(
          try await failure {
            _ =
              isServer
              ? try await TlsStream.server(over: far, context: contexts.server)
              : try await TlsStream.client(over: far, host: "localhost", context: contexts.client)
          })
      }
      return (errors[0], errors[1])
    }
  }

  @Test func `garbage in place of a handshake`() async throws {
    let (server, client) = try await answer(to: Array("hello, this is no TLS at all\n".utf8))
    for error in [server, client] {
      #expect(
        error.code == .malformed && error.detail == "what came is not TLS (wrong version number)", "\(error)")
    }
    let (http, _) = try await answer(to: Array("GET / HTTP/1.1\r\nHost: a\r\n\r\n".utf8))
    #expect(http.code == .malformed && http.detail == "what came is not TLS (http request)", "\(http)")
  }

  @Test func `a record that is longer than records may be`() async throws {
    // A handshake's record of 65,535 bytes.
    let (server, client) = try await answer(to: [22, 3, 3, 0xFF, 0xFF] + Array(repeating: 1, count: 70_000))
    for error in [server, client] {
      #expect(error.code == .malformed, "\(error)")
      #expect(error.detail.hasSuffix("length too long"), "\(error)")
    }
  }

  @Test func `an end in the middle of a handshake`() async throws {
    for bytes in [[], [22], [22, 3, 1, 0, 100, 1]] as [[UInt8]] {
      let (server, client) = try await answer(to: bytes, end: true)
      for error in [server, client] {
        #expect(error.code == .unexpectedEnd && error.detail.hasPrefix("without TLS's own end"), "\(error)")
      }
    }
  }

  @Test(arguments: [TlsVersion.v12, .v13])
  func `a record that was changed on its way`(version: TlsVersion) async throws {
    try await onOneWorker { _ in
      let contexts = try Contexts(client: { $0.maximumVersion = version })
      let (near, far) = try await TcpStream.loopbackPair()
      let (client, server) = try await contexts.pair(over: near, far)
      // Sent past the stream above: 64 bytes that nobody has encrypted.
      try await client.base.write([23, 3, 3, 0, 64] + Array(repeating: 7, count: 64))
      let error = try await failure { try await server.read(upTo: 10) }
      #expect(error.code == .malformed && error.detail == "decryption failed or bad record mac", "\(error)")
      let told = try await failure { try await client.read(upTo: 10) }
      #expect(told.code == .tlsRefused && told.detail == "alert 20, bad record mac", "\(told)")
    }
  }

  @Test func `an oversized record on a live connection`() async throws {
    try await onOneWorker { _ in
      let (client, server) = try await Contexts().tcpPair()
      try await client.base.write([23, 3, 3, 0xFF, 0xFF] + Array(repeating: 7, count: 65_535))
      let error = try await failure { try await server.read(upTo: 10) }
      #expect(error.code == .malformed && error.detail.hasSuffix("length too long"), "\(error)")
    }
  }
}
