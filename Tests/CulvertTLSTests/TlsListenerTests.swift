// SPDX-License-Identifier: Apache-2.0
// Serving and connecting: silent clients, hosts, upgrades, draining.
import CulvertTLS
import CulvertTesting
import Testing

@testable import Culvert

@Suite(.timeLimit(watchdog)) struct TlsListenerTests {
  /// Serves, with `handler`, while `body` runs; returns what went wrong with connections.
  private func serving(
    handshakeTimeout: Duration = .seconds(100),
    _ handler: @escaping @Sendable (TlsStream<TcpStream>) async throws -> Void,
    _ body: @escaping @Sendable (UInt16, TlsContext, Runtime) async throws -> Void
  ) async throws -> [IoError] {
    let contexts = try Contexts()
    let errors = Notes<IoError>()
    try await withRuntime(workers: 1) { runtime in
      let listener = try await TlsListener.bind(
        "127.0.0.1:0", context: contexts.server, handshakeTimeout: handshakeTimeout)
      try await withThrowingTaskGroup { group in
        group.addTask(executorPreference: runtime.workers[0]) {
          try await listener.serve(
            onError: { error, _ in
              if let error = error as? IoError { errors.add(error) }
            }, handler)
        }
        try await body(listener.localAddress.port ?? 0, contexts.client, runtime)
        listener.close()
        try await group.waitForAll()
      }
    }
    return errors.all
  }

  private static let echo: @Sendable (TlsStream<TcpStream>) async throws -> Void = { stream in
    while let chunk = try await stream.read(upTo: 4096) { try await stream.write(chunk) }
  }

  @Test func `clients that say nothing hold up nobody`() async throws {
    let errors = try await serving(Self.echo) { port, context, runtime in
      var silent: [TcpStream] = []
      for _ in 0..<100 { silent.append(try await TcpStream.connect(to: "127.0.0.1:\(port)")) }
      await runtime.workers[0].idle()
      for _ in 0..<10 {
        let stream = try await TlsStream.connect(host: "localhost", port: port, context: context)
        try await stream.write("hello")
        #expect(try await stream.read(upTo: 100) == Array("hello".utf8))
        await stream.closed()
      }
      for stream in silent { stream.close() }
    }
    #expect(errors.count == 100 && errors.allSatisfy { $0.code == .unexpectedEnd }, "\(errors)")
  }

  @Test func `a client that does not shake hands in time is cut, and who has is not`() async throws {
    let errors = try await serving(handshakeTimeout: .seconds(2), Self.echo) { port, context, _ in
      let stream = try await TlsStream.connect(host: "localhost", port: port, context: context)
      let silent = try await TcpStream.connect(to: "127.0.0.1:\(port)")
      // Some of a hello is no more than none.
      try await silent.write([22, 3, 1])
      #expect(try await silent.read(upTo: 100) == nil)
      try await stream.write("hello")
      #expect(try await stream.read(upTo: 100) == Array("hello".utf8))
      await stream.closed()
    }
    #expect(errors.map(\.code) == [.timedOut])
    #expect(errors.first?.operation.hasSuffix("within 2.0 seconds") == true, "\(errors)")
  }

  @Test func `a connection ends in TLS when its handler returns or throws`() async throws {
    struct Enough: Error {}
    let count = Tally()
    let errors = try await serving({ stream in
      _ = try await stream.read(upTo: 1)
      if count.add() == 2 { throw Enough() }
    }) { port, context, _ in
      for _ in 0..<2 {
        let stream = try await TlsStream.connect(host: "localhost", port: port, context: context)
        try await stream.write("!")
        #expect(try await stream.read(upTo: 100) == nil)
        await stream.closed()
      }
    }
    #expect(errors.isEmpty)
  }

  @Test func `a host is tried by all its addresses, and must prove its name`() async throws {
    struct Fixed: Resolver {
      let port: UInt16
      func resolve(_ host: String, port: UInt16) async throws(IoError) -> [SocketAddress] {
        // Nobody listens at the first one.
        [try SocketAddress("[::1]:\(port)"), try SocketAddress("127.0.0.1:\(port)")]
      }
    }
    _ = try await serving(Self.echo) { port, context, _ in
      let resolver = Fixed(port: port)
      let stream = try await TlsStream.connect(
        host: "localhost", port: port, context: context, resolver: resolver)
      #expect(stream.base.peerAddress == (try SocketAddress("127.0.0.1:\(port)")))
      await stream.closed()
      let error = try await failure {
        try await TlsStream.connect(
          host: "elsewhere.example", port: port, context: context, resolver: resolver)
      }
      #expect(
        error.code == .certificateRejected && error.operation.hasPrefix("shake hands with elsewhere.example"))
    }
  }

  @Test func `a live stream is upgraded`() async throws {
    let contexts = try Contexts()
    try await onOneWorker { _ in
      let (near, far) = try await TcpStream.loopbackPair()
      async let served: Void = {
        let reader = BufferedReader(far)
        #expect(try await reader.readLine() == "STARTTLS")
        #expect(reader.bufferedCount == 0)
        try await far.write("220 go ahead\r\n")
        let stream = try await TlsStream.server(over: far, context: contexts.server)
        while let chunk = try await stream.read(upTo: 100) { try await stream.write(chunk) }
        await stream.closed()
      }()
      let reader = BufferedReader(near)
      try await near.write("STARTTLS\r\n")
      #expect(try await reader.readLine() == "220 go ahead" && reader.bufferedCount == 0)
      let stream = try await TlsStream.client(over: near, host: "localhost", context: contexts.client)
      try await stream.write("now in secret")
      #expect(try await stream.read(upTo: 100) == Array("now in secret".utf8))
      try await stream.shutdown()
      #expect(try await stream.read(upTo: 100) == nil)
      try await served
    }
  }

  @Test func `a server that drains lets a request be answered, and tells the idle`() async throws {
    let contexts = try Contexts()
    try await withRuntime(workers: 1) { runtime in
      let listener = try await TlsListener.bind("127.0.0.1:0", context: contexts.server)
      let server = listener.server { stream, server in
        let reader = BufferedReader(stream)
        while try await server.waitForRequest(on: stream), let line = try await reader.readLine() {
          try await stream.write("\(line)!\n")
        }
      }
      let port = try listener.localAddress.port ?? 0
      async let report = server.run()
      let stream = try await TlsStream.connect(host: "localhost", port: port, context: contexts.client)
      let reader = BufferedReader(stream)
      try await stream.write("one\n")
      #expect(try await reader.readLine() == "one!")
      await runtime.workers[0].idle()
      server.drain()
      #expect(try await reader.readLine() == nil)
      await stream.closed()
      _ = try await report
    }
  }
}
