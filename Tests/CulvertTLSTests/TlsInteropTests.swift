// SPDX-License-Identifier: Apache-2.0
// Other people's TLS at the other end: openssl's s_client and s_server, curl, Python's ssl.
import CulvertTLS
import CulvertTesting
import Foundation
import Testing

@testable import Culvert

@Suite(.timeLimit(watchdog)) struct TlsInteropTests {
  private let authority: TestAuthority
  init() throws { authority = try TestAuthority.shared.get() }

  /// What a server of ours notes of a connection.
  private struct Seen: Sendable {
    let version: TlsVersion
    let applicationProtocol: String?
    let isResumed: Bool
    let certificate: String?
  }

  /// Runs an echo server of ours while `body` runs; returns what it has seen.
  private func echoing(
    server adjust: (inout TlsConfiguration) throws -> Void = { _ in },
    _ body: (UInt16) async throws -> Void
  ) async throws -> (seen: [Seen], errors: [IoError]) {
    let contexts = try Contexts(server: adjust)
    let (seen, errors) = (Notes<Seen>(), Notes<IoError>())
    let listener = try await TlsListener.bind("127.0.0.1:0", context: contexts.server)
    let port = try listener.localAddress.port ?? 0
    try await withThrowingTaskGroup { group in
      group.addTask {
        try await listener.serve(onError: { error, _ in
          if let error = error as? IoError { errors.add(error) }
        }) { stream in
          let one = Seen(
            version: stream.version, applicationProtocol: stream.applicationProtocol,
            isResumed: stream.isResumed, certificate: stream.peerCertificate?.description)
          seen.add(one)
          while let chunk = try await stream.read(upTo: 4096) { try await stream.write(chunk) }
        }
      }
      try await body(port)
      listener.close()
      try await group.waitForAll()
    }
    return (seen.all, errors.all)
  }

  private func sClient(_ port: UInt16, _ options: String...) -> [String] {
    ["openssl", "s_client", "-connect", "127.0.0.1:\(port)", "-CAfile", authority.rootFile, "-servername"]
      + ["localhost", "-verify_hostname", "localhost", "-verify_return_error"] + options
  }

  // MARK: openssl s_client

  @Test(arguments: ["-tls1_2", "-tls1_3"])
  func `openssl s_client talks to our server, and takes its session up again`(version: String) async throws {
    let sessionFile = "\(authority.folder)/session\(version)"
    let (seen, errors) = try await echoing(server: { $0.applicationProtocols = ["h2"] }) { port in
      for session in ["-sess_out", "-sess_in"] {
        let command = sClient(port, version, "-alpn", "http/1.1,h2", "-brief", session, sessionFile)
        try await Tool.with(command) { client in
          try await client.line(with: "CONNECTION ESTABLISHED")
          try await client.type("hello\n")
          try await client.line(with: "hello")
          try await client.type("Q\n")
          _ = try await client.rest()
        }
      }
    }
    #expect(errors.isEmpty, "\(errors)")
    #expect(seen.map(\.applicationProtocol) == ["h2", "h2"] && seen.map(\.isResumed) == [false, true])
    #expect(seen.allSatisfy { $0.version == (version == "-tls1_2" ? .v12 : .v13) })
  }

  @Test func `a client's certificate from openssl s_client is checked`() async throws {
    let bob = try authority.issue("bob", for: "email:bob@example.org")
    let (seen, errors) = try await echoing(server: { $0.clientCertificates = .required(authority.roots) }) {
      port in
      let command = sClient(port, "-brief", "-cert", bob.certificateFile, "-key", bob.keyFile)
      try await Tool.with(command) { client in
        try await client.type("hello\n")
        try await client.line(with: "hello")
      }
      #expect(try await Tool.output(sClient(port, "-brief")).contains("certificate required"))
    }
    #expect(seen.map(\.certificate) == ["CN=bob, issued by CN=Culvert test root"])
    #expect(errors.contains { $0.code == .certificateRejected })
  }

  @Test func `a renegotiation is refused, and the connection goes on`() async throws {
    let (_, errors) = try await echoing { port in
      try await Tool.with(sClient(port, "-tls1_2")) { client in
        try await client.line(with: "Verify return code: 0")
        try await client.type("before\n")
        try await client.line(with: "before")
        // A line that is just this asks for a new handshake.
        try await client.type("R\n")
        try await client.line(with: "RENEGOTIATING")
        #expect(try await client.rest().contains("no renegotiation"))
      }
    }
    #expect(errors.allSatisfy { $0.code == .unexpectedEnd || $0.code == .tlsRefused }, "\(errors)")
  }

  @Test func `new keys that openssl s_client takes, and asks for, are taken`() async throws {
    let (_, errors) = try await echoing { port in
      try await Tool.with(sClient(port, "-tls1_3")) { client in
        try await client.line(with: "Verify return code: 0")
        for command in ["k", "K", "K"] {
          try await client.type("\(command)\n")
          try await client.line(with: "KEYUPDATE")
          try await client.type("with new keys\n")
          try await client.line(with: "with new keys")
        }
        try await client.type("Q\n")
        _ = try await client.rest()
      }
    }
    #expect(errors.isEmpty, "\(errors)")
  }

  @Test func `a version that is too old is refused`() async throws {
    let (seen, errors) = try await echoing { port in
      // Level 0, or openssl itself refuses to speak it.
      let command = sClient(port, "-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0")
      let output = try await Tool.output(command)
      #expect(output.contains("alert protocol version"))
    }
    #expect(seen.isEmpty && errors.map(\.code) == [.tlsIncompatible])
    #expect(errors.first?.detail == "unsupported protocol")
  }

  // MARK: openssl s_server

  /// Runs openssl's echo, which writes each line back to front.
  private func withReversingServer(
    _ options: [String] = [], _ body: (Tool, UInt16) async throws -> Void
  ) async throws {
    let leaf = authority.localhost
    let command =
      ["openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", leaf.certificateFile, "-key", leaf.keyFile]
      + ["-rev", "-alpn", "h2"] + options
    try await Tool.with(command) { server in
      // "ACCEPT 127.0.0.1:PORT".
      let line = try await server.line(with: "ACCEPT")
      try await body(server, try #require(line.split(separator: ":").last.flatMap { UInt16($0) }))
    }
  }

  @Test(arguments: [TlsVersion.v12, .v13])
  func `our client talks to openssl s_server, and takes up its session again`(version: TlsVersion)
    async throws
  {
    let contexts = try Contexts(client: {
      $0.maximumVersion = version
      $0.applicationProtocols = ["h2"]
    })
    try await withReversingServer { _, port in
      var session: TlsSession?
      for isResumed in [false, true] {
        let stream = try await TlsStream.connect(
          host: "localhost", port: port, context: contexts.client, session: session, prefer: .v4Only)
        #expect(
          stream.version == version && stream.applicationProtocol == "h2" && stream.isResumed == isResumed)
        try await stream.write("abc\n")
        let reader = BufferedReader(stream)
        #expect(try await reader.readLine() == "cba")
        session = stream.session
        #expect(session != nil)
        await stream.closed()
      }
    }
  }

  @Test func `openssl s_server checks our client's certificate`() async throws {
    let carol = try authority.issue("carol", for: "email:carol@example.org")
    let options = ["-Verify", "1", "-CAfile", authority.rootFile, "-verify_return_error"]
    try await withReversingServer(options) { _, port in
      for identity in [carol.identity, nil] {
        let contexts = try Contexts(client: { $0.identity = identity })
        let stream = try await TlsStream.connect(
          host: "127.0.0.1", port: port, context: contexts.client)
        let reader = BufferedReader(stream)
        do {
          try await stream.write("abc\n")
          #expect(try await reader.readLine() == "cba" && identity != nil)
        } catch let error as IoError {
          #expect(identity == nil && error.code == .tlsRefused, "\(error)")
          #expect(error.detail == "alert 116, certificate required")
        }
      }
    }
  }

  @Test func `a server that speaks an old version only is refused`() async throws {
    try await withReversingServer(["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"]) { _, port in
      let error = try await failure {
        try await TlsStream.connect(host: "127.0.0.1", port: port, context: Contexts().client)
      }
      #expect(error.code == .tlsIncompatible || error.code == .tlsRefused, "\(error)")
      #expect(error.detail.contains("protocol"), "\(error)")
    }
  }

  // MARK: curl

  @Test(arguments: ["1.2", "1.3"])
  func `curl gets a page from our server`(version: String) async throws {
    let contexts = try Contexts(server: { $0.applicationProtocols = ["http/1.1"] })
    let listener = try await TlsListener.bind("127.0.0.1:0", context: contexts.server)
    let port = try listener.localAddress.port ?? 0
    try await withThrowingTaskGroup { group in
      group.addTask {
        try await listener.serve { stream in
          let reader = BufferedReader(stream)
          while let line = try await reader.readLine(), !line.isEmpty {}
          let body = String(repeating: "culvert ", count: 20_000)
          try await stream.write("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n\(body)")
          // Without a length the end is all that tells: curl minds one that was cut.
          try await stream.shutdown()
          while try await stream.read(upTo: 4096) != nil {}
        }
      }
      let command = [
        "curl", "-sS", "--cacert", authority.rootFile, "--tlsv\(version)", "--tls-max", version,
        "https://localhost:\(port)/",
      ]
      #expect(try await Tool.output(command).count == 160_000)
      // It does not know our root.
      #expect(
        try await Tool.output(["curl", "-sS", "https://localhost:\(port)/"]).contains("certificate problem"))
      listener.close()
      try await group.waitForAll()
    }
  }

  // MARK: Python

  @Test func `Python's ssl talks to our server`() async throws {
    let script = """
      import socket, ssl, sys
      context = ssl.create_default_context(cafile=sys.argv[1])
      context.set_alpn_protocols(["h2", "http/1.1"])
      session = None
      for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
          context.maximum_version = version
          with socket.create_connection(("127.0.0.1", int(sys.argv[2]))) as plain:
              stream = context.wrap_socket(plain, server_hostname="localhost")
              data = bytes(range(256)) * 1000
              stream.sendall(data)
              received = b""
              while len(received) < len(data):
                  received += stream.recv(65536)
              assert received == data
              print(stream.version(), stream.selected_alpn_protocol())
              plain = stream.unwrap()
      """
    let (seen, errors) = try await echoing(server: { $0.applicationProtocols = ["http/1.1"] }) { port in
      let output = try await Tool.output(["python3", "-c", script, authority.rootFile, "\(port)"])
      #expect(output == "TLSv1.2 http/1.1\nTLSv1.3 http/1.1\n")
    }
    #expect(seen.map(\.version) == [.v12, .v13] && errors.isEmpty, "\(errors)")
  }

  @Test func `our client talks to Python's ssl, and sees whether it ends or is cut`() async throws {
    let script = """
      import socket, ssl, sys
      context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
      context.load_cert_chain(sys.argv[1], sys.argv[2])
      server = socket.create_server(("127.0.0.1", 0))
      print(server.getsockname()[1], flush=True)
      for is_cut in (False, True):
          stream = context.wrap_socket(server.accept()[0], server_side=True)
          stream.sendall(stream.recv(100).upper())
          if not is_cut:
              stream.unwrap()
          stream.close()
      """
    let leaf = authority.localhost
    let contexts = try Contexts()
    try await Tool.with(["python3", "-c", script, leaf.certificateFile, leaf.keyFile]) { python in
      let port = try #require(UInt16(try await python.line(with: "")))
      for isCut in [false, true] {
        let stream = try await TlsStream.connect(host: "127.0.0.1", port: port, context: contexts.client)
        try await stream.write("hello")
        #expect(try await stream.read(upTo: 100) == Array("HELLO".utf8))
        if isCut {
          #expect(try await failure { try await stream.read(upTo: 100) }.code == .unexpectedEnd)
        } else {
          #expect(try await stream.read(upTo: 100) == nil)
        }
        await stream.closed()
      }
    }
  }
}
