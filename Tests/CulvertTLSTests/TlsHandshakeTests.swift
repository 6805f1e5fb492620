// SPDX-License-Identifier: Apache-2.0
// What two sides settle in a handshake: versions, protocols, certificates by host, clients' certificates, sessions.
import CulvertTLS
import CulvertTesting
import Testing

@testable import Culvert

@Suite(.timeLimit(watchdog)) struct TlsHandshakeTests {
  @Test func `the highest version that both have is spoken`() async throws {
    try await onOneWorker { _ in
      let (client, server) = try await Contexts().tcpPair()
      #expect(client.version == .v13 && server.version == .v13 && client.cipher.hasPrefix("TLS_"))
      let old = try Contexts(server: { $0.maximumVersion = .v12 })
      #expect(try await old.tcpPair().client.version == .v12)
    }
  }

  @Test func `the server's choice of the protocols that a client offers is told at both ends`() async throws {
    try await onOneWorker { _ in
      let contexts = try Contexts(
        client: { $0.applicationProtocols = ["http/1.1", "h2"] },
        server: { $0.applicationProtocols = ["h2", "http/1.1"] })
      let (client, server) = try await contexts.tcpPair()
      #expect(client.applicationProtocol == "h2" && server.applicationProtocol == "h2")
      let (plain, _) = try await Contexts(server: { $0.applicationProtocols = ["h2"] }).tcpPair()
      #expect(plain.applicationProtocol == nil)
    }
  }

  @Test func `a server that has none of the protocols that a client offers refuses it`() async throws {
    try await onOneWorker { _ in
      let contexts = try Contexts(
        client: { $0.applicationProtocols = ["spdy/1"] }, server: { $0.applicationProtocols = ["h2"] })
      let (near, far) = try await TcpStream.loopbackPair()
      let (client, server) = await contexts.outcomes(over: near, far)
      #expect(
        client.failure?.code == .tlsRefused && client.failure?.detail == "alert 120, no application protocol")
      #expect(server.failure?.code == .tlsIncompatible)
    }
  }

  @Test func `a client is shown the certificate of the host that it asks for`() async throws {
    let authority = try TestAuthority.shared.get()
    let shop = try authority.issue("shop", for: "DNS:shop.example")
    let any = try authority.issue("any", for: "DNS:*.cloud.example")
    let contexts = try Contexts(server: {
      $0.hostIdentities = ["Shop.example": shop.identity, "*.cloud.example": any.identity]
    })
    try await onOneWorker { _ in
      let names = ["shop.example": "CN=shop", "a.cloud.example": "CN=any", "localhost": "CN=localhost"]
      for (host, subject) in names {
        let (near, far) = try await TcpStream.loopbackPair()
        let (client, server) = try await contexts.pair(over: near, far, host: host)
        #expect(client.peerCertificate?.description == "\(subject), issued by CN=Culvert test root")
        #expect(server.serverName == host)
      }
    }
  }

  @Test func `a host without a certificate is refused if there is none for all`() async throws {
    let authority = try TestAuthority.shared.get()
    let shop = try authority.issue("shop2", for: "DNS:shop.example")
    let any = try authority.issue("any2", for: "DNS:*.cloud.example,DNS:cloud.example")
    let contexts = try Contexts(server: {
      $0.identity = nil
      $0.hostIdentities = ["shop.example": shop.identity, "*.cloud.example": any.identity]
    })
    try await onOneWorker { _ in
      // A pattern stands for one label, and no less.
      for host in ["other.example", "cloud.example", "a.b.cloud.example"] {
        let (near, far) = try await TcpStream.loopbackPair()
        let (client, server) = await contexts.outcomes(over: near, far, host: host)
        #expect(client.failure?.detail == "alert 112, unrecognized name")
        #expect(server.failure?.code == .tlsIncompatible)
      }
    }
  }

  @Test(arguments: [TlsVersion.v12, .v13])
  func `a client's certificate is checked, and told`(version: TlsVersion) async throws {
    let authority = try TestAuthority.shared.get()
    let alice = try authority.issue("alice-\(version.description.suffix(1))", for: "email:alice@example.org")
    let contexts = try Contexts(
      client: {
        $0.identity = alice.identity
        $0.maximumVersion = version
      }, server: { $0.clientCertificates = .required(authority.roots) })
    try await onOneWorker { _ in
      let (client, server) = try await contexts.tcpPair()
      #expect(server.peerCertificate?.description.hasPrefix("CN=alice") == true)
      try await server.write("welcome")
      #expect(try await client.read(upTo: 100) == Array("welcome".utf8))
    }
  }

  @Test func `a certificate that is optional need not be there`() async throws {
    let roots = try TestAuthority.shared.get().roots
    let contexts = try Contexts(server: { $0.clientCertificates = .optional(roots) })
    let shown = try await onOneWorker { _ in try await contexts.tcpPair().server.peerCertificate }
    #expect(shown == nil)
  }

  @Test(arguments: [TlsVersion.v12, .v13])
  func `a session is taken up again, once and by the same context only`(version: TlsVersion) async throws {
    let contexts = try Contexts(client: { $0.maximumVersion = version })
    try await onOneWorker { _ in
      let (client, server) = try await contexts.tcpPair()
      #expect(!client.isResumed)
      try await server.write("ticket")
      _ = try await client.read(upTo: 100)
      let session = try #require(client.session)
      let (again, _) = try await contexts.tcpPair(session: session)
      #expect(again.isResumed)
      // Another context may trust others: it checks for itself.
      let other = try Contexts(client: { $0.maximumVersion = version })
      let (near, far) = try await TcpStream.loopbackPair()
      async let served = TlsStream.server(over: far, context: contexts.server)
      let stranger = try await TlsStream.client(
        over: near, host: "localhost", context: other.client, session: session)
      _ = try await served
      #expect(!stranger.isResumed)
    }
  }

  @Test func `a server that resumes no sessions gives none`() async throws {
    let contexts = try Contexts(server: { $0.resumesSessions = false })
    try await onOneWorker { _ in
      let (client, server) = try await contexts.tcpPair()
      try await server.write("no ticket")
      _ = try await client.read(upTo: 100)
      #expect(client.session == nil)
    }
  }

  @Test func `a new certificate is shown to those who come after it, and open connections go on`()
    async throws
  {
    let authority = try TestAuthority.shared.get()
    let renewed = try authority.issue("renewed", for: "DNS:localhost")
    let contexts = try Contexts()
    try await onOneWorker { _ in
      let (old, oldServer) = try await contexts.tcpPair()
      var configuration = contexts.server.configuration
      configuration.identity = renewed.identity
      try contexts.server.reload(configuration)
      let (new, _) = try await contexts.tcpPair()
      #expect(new.peerCertificate?.description.hasPrefix("CN=renewed") == true)
      try await oldServer.write("still here")
      #expect(try await old.read(upTo: 100) == Array("still here".utf8))
    }
  }

  @Test func `a context of the wrong side is refused`() async throws {
    try await onOneWorker { _ in
      let contexts = try Contexts()
      let (near, _) = DuplexStream.pair()
      let error = try await failure {
        try await TlsStream.client(over: near, host: "localhost", context: contexts.server)
      }
      #expect(error.code == .invalidArgument && error.detail == "the context is a server's")
    }
  }
}

extension Result {
  /// Why it is none.
  var failure: Failure? {
    if case .failure(let error) = self { error } else { nil }
  }
}
