// SPDX-License-Identifier: Apache-2.0
// Handlers that answer one request after the other, and how they learn that there will be no more.
import CulvertTesting
import Testing

@testable import Culvert

@Suite(.timeLimit(watchdog)) struct ServerRequestTests {
  /// Answers each two bytes with their sum.
  private static let add: @Sendable (TcpStream, Server) async throws -> Void = { stream, server in
    while try await server.waitForRequest(on: stream) {
      let pair = try await stream.readExactly(2)
      if pair.count < 2 { return }
      try await stream.write([pair[0] + pair[1]])
    }
  }

  /// A client that was answered once.
  private func answered(by listener: TcpListener) async throws -> TcpStream {
    let client = try await TcpStream.connect(to: listener.localAddress)
    try await client.write([1, 2])
    #expect(try await client.readExactly(1) == [3])
    return client
  }

  @Test(arguments: Place.allCases)
  func `an idle connection ends when the server drains, at whatever moment that comes`(place: Place)
    async throws
  {
    try await place.run {
      for round in 0..<100 {
        let listener = try await TcpListener.bind(.loopback(port: 0))
        let server = listener.server(grace: forever, Self.add)
        let report = try await whileRunning(server) {
          let client = try await answered(by: listener)
          for _ in 0..<round % 5 { await Task.yield() }
          server.drain()
          #expect(try await client.readAll() == [])
        }
        #expect(report == ServeReport(served: 1))
      }
    }
  }

  @Test func `many idle connections end at once`() async throws {
    let listener = try await TcpListener.bind(.loopback(port: 0))
    let server = listener.server(grace: forever, Self.add)
    let report = try await whileRunning(server) {
      var clients: [TcpStream] = []
      for _ in 0..<100 { clients.append(try await answered(by: listener)) }
      server.drain()
      for client in clients { #expect(try await client.readAll() == []) }
    }
    #expect(report == ServeReport(served: 100))
  }

  @Test func `half a request when the server drains is read to its end, and answered`() async throws {
    try await onOneWorker { worker in
      let listener = try await TcpListener.bind(.loopback(port: 0))
      let server = listener.server(grace: forever, Self.add)
      let report = try await whileRunning(server) {
        let client = try await answered(by: listener)
        try await client.write([3])
        await worker.idle()
        server.drain()
        await worker.idle()
        try await client.write([4])
        #expect(try await client.readAll() == [7])
      }
      #expect(report == ServeReport(served: 1))
    }
  }

  @Test func `a request that came before its handler asks is answered, though the server drains`()
    async throws
  {
    try await onOneWorker { worker in
      let listener = try await TcpListener.bind(.loopback(port: 0))
      let gate = Gate()
      let server = listener.server(grace: forever) { stream, server in
        try await gate.passed()
        try await Self.add(stream, server)
      }
      let report = try await whileRunning(server) {
        let (client, silent) = (
          try await TcpStream.connect(to: listener.localAddress),
          try await TcpStream.connect(to: listener.localAddress)
        )
        await worker.idle { server.connectionCount == 2 }
        try await client.write([3, 4])
        server.drain()
        gate.open()
        #expect(try await client.readAll() == [7])
        #expect(try await silent.readAll() == [])
      }
      #expect(report == ServeReport(served: 2))
    }
  }

  @Test func `the end of the stream is something to read, a closed stream an error`() async throws {
    try await onOneWorker { worker in
      let listener = try await TcpListener.bind(.loopback(port: 0))
      let server = listener.server(grace: forever) { _ in }
      let (client, stream) = try await TcpStream.loopbackPair()
      async let hasMore = server.waitForRequest(on: stream)
      await worker.idle()
      try client.shutdown()
      #expect(try await hasMore)
      #expect(try await server.waitForRequest(on: stream))
      #expect(try await stream.readAll() == [])
      stream.close()
      #expect(await failure { try await server.waitForRequest(on: stream) } == .closed)
    }
  }

  @Test(arguments: Place.allCases)
  func `waiting for a request, and for the drain, can be cancelled`(place: Place) async throws {
    try await place.run {
      let server = try await TcpListener.bind(.loopback(port: 0)).server { _ in }
      let (_client, stream) = try await TcpStream.loopbackPair()
      for round in 0..<20 {
        let tasks = [
          Task { await failure { try await server.waitForRequest(on: stream) } },
          Task { await failure { try await server.draining() } },
        ]
        for _ in 0..<round % 4 { await Task.yield() }
        for task in tasks {
          task.cancel()
          #expect(await task.value == .cancelled)
        }
      }
      _client.close()
    }
  }

  @Test func `what a reader holds back is no reason to wait`() async throws {
    let listener = try await TcpListener.bind(.loopback(port: 0))
    let server = listener.server(grace: forever) { stream, server in
      let reader = BufferedReader(stream)
      while try await server.waitForRequest(on: reader), let line = try await reader.readLine() {
        try await stream.write("\(line)!\n")
      }
    }
    let report = try await whileRunning(server) {
      let client = try await TcpStream.connect(to: listener.localAddress)
      try await client.write("one\ntwo\n")
      #expect(try await client.readExactly(10) == Array("one!\ntwo!\n".utf8))
      server.drain()
      #expect(try await client.readAll() == [])
    }
    #expect(report == ServeReport(served: 1))
  }
}
