// SPDX-License-Identifier: Apache-2.0
// A server while it serves: both kinds of sockets, its bound on connections, what it counts, and what it waits for.
import CulvertTesting
import Foundation
import Synchronization
import Testing

@testable import Culvert

/// Longer than any test takes: who waits for this to pass hangs.
let forever = Duration.seconds(3600)

/// Runs `server` beside `body`, which sees to its end.
func whileRunning(_ server: Server, _ body: () async throws -> Void) async throws -> ServeReport {
  async let report = server.run()
  try await body()
  return try await report
}

/// A client whose handler has begun, and said so with one byte.
func greeted(by listener: TcpListener) async throws -> TcpStream {
  let client = try await TcpStream.connect(to: listener.localAddress)
  #expect(try await client.readExactly(1) == [1])
  return client
}

@Suite(.timeLimit(watchdog)) struct ServerTests {
  private struct Refusal: Error {}

  private func askThree<Stream>(
    _ listener: ListenerSocket<Stream>, connect: () async throws -> Stream
  ) async throws {
    let refused = Tally()
    let server = listener.server(grace: forever) { error, _ in
      if error is Refusal { refused.add() }
    } _: { stream in
      let byte = try await stream.readExactly(1)
      if byte == [0] { throw Refusal() }
      try await stream.write(byte)
    }
    let report = try await whileRunning(server) {
      for byte in [7, 0, 9] as [UInt8] {
        let client = try await connect()
        try await client.write([byte])
        #expect(try await client.readAll() == (byte == 0 ? [] : [byte]))
      }
      server.drain()
    }
    #expect(report == ServeReport(served: 2, failed: 1, cut: 0) && refused.value == 1)
    #expect("\(report)" == "served 2, failed 1, cut 0" && server.connectionCount == 0)
    #expect("\(server)" == "server of \(listener)")
    #expect(await failure { try listener.localAddress } == .closed)
  }

  @Test(arguments: Place.allCases)
  func `a server serves over TCP, and says how its connections ended`(place: Place) async throws {
    try await place.run {
      let listener = try await TcpListener.bind(.loopback(port: 0))
      let address = try listener.localAddress
      try await askThree(listener) { try await TcpStream.connect(to: address) }
    }
  }

  @Test func `a server serves over a Unix socket, whose file is gone afterwards`() async throws {
    let path = freshPath()
    let listener = try await UnixListener.bind(.unix(path: path))
    try await askThree(listener) { try await UnixStream.connect(to: .unix(path: path)) }
    #expect(!exists(path))
  }

  @Test func `with as many connections as it may have a server accepts nobody until one ends`() async throws {
    try await onOneWorker { worker in
      let listener = try await TcpListener.bind(.loopback(port: 0))
      let server = listener.server(maximumConnections: 2, grace: forever) { stream in
        try await stream.write([1])
        _ = try await stream.readAll()
      }
      let report = try await whileRunning(server) {
        var clients = [try await greeted(by: listener), try await greeted(by: listener)]
        for _ in 0..<3 {
          clients.append(try await TcpStream.connect(to: listener.localAddress))
          await worker.idle()
          #expect(server.connectionCount == 2)
          clients.removeFirst().close()
          #expect(try await clients.last?.readExactly(1) == [1])
        }
        clients.forEach { $0.close() }
        server.drain()
      }
      #expect(report == ServeReport(served: 5))
    }
  }

  @Test func `a server that is full drains, and leaves those who wait outside`() async throws {
    try await onOneWorker { worker in
      let listener = try await TcpListener.bind(.loopback(port: 0))
      let server = listener.server(maximumConnections: 1, grace: forever) { stream in
        try await stream.write([1])
        _ = try await stream.readAll()
      }
      let report = try await whileRunning(server) {
        let inside = try await greeted(by: listener)
        let outside = try await TcpStream.connect(to: listener.localAddress)
        await worker.idle()
        server.drain()
        #expect(await failure { try await outside.readExactly(1) } == .connectionReset)
        inside.close()
      }
      #expect(report == ServeReport(served: 1))
    }
  }

  @Test func `serve may have a bound on connections, too`() async throws {
    try await onOneWorker { worker in
      let listener = try await TcpListener.bind(.loopback(port: 0))
      let begun = Tally()
      async let served: Void = listener.serve(maximumConnections: 1) { stream in
        begun.add()
        _ = try await stream.readAll()
      }
      let clients = [
        try await TcpStream.connect(to: listener.localAddress),
        try await TcpStream.connect(to: listener.localAddress),
      ]
      await worker.idle()
      #expect(begun.value == 1)
      clients.forEach { $0.close() }
      try await begun.reached(2)
      listener.close()
      try await served
    }
  }

  @Test func `a server runs once`() async throws {
    let listener = try await TcpListener.bind(.loopback(port: 0))
    let server = listener.server { _ in }
    #expect(try await whileRunning(server) { server.drain() } == ServeReport())
    let error = await thrown { try await server.run() }
    #expect(error?.code == .unsupported && error?.operation == "run \(server) twice")
  }

  @Test func `closing the listener ends a server without cutting anybody, unless it drains meanwhile`()
    async throws
  {
    for drains in [false, true] {
      let listener = try await TcpListener.bind(.loopback(port: 0))
      let server = listener.server(grace: .zero) { stream in
        try await stream.write([1])
        _ = try await stream.readAll()
      }
      let report = try await whileRunning(server) {
        let client = try await greeted(by: listener)
        await listener.closed()
        if drains { server.drain() } else { client.close() }
        #expect(drains == (await failure { try await client.readAll() } == nil))
      }
      #expect(report == (drains ? ServeReport(cut: 1) : ServeReport(served: 1)))
    }
  }

  @Test func `a handler that blocks its worker holds up the end, and nobody on the other workers`()
    async throws
  {
    try await withRuntime(workers: 3) { runtime in
      let listener = try await TcpListener.bind(.loopback(port: 0))
      let isHeld = Atomic(true)
      let stalled = Gate()
      let server = listener.server { stream in
        // The first connection goes to worker 0, and so on.
        if Worker.current === runtime.workers[1] {
          stalled.open()
          while isHeld.load(ordering: .relaxed) { sched_yield() }
        } else {
          try await stream.write([1])
          await untilCancelled()
        }
      }
      let ended = Tally()
      let running = runtime.spawn(on: runtime.workers[0]) {
        defer { ended.add() }
        return try await server.run()
      }
      var clients: [TcpStream] = []
      for _ in 0..<3 { clients.append(try await TcpStream.connect(to: listener.localAddress)) }
      try await stalled.passed()
      let others = [clients[0], clients[2]]
      for client in others { #expect(try await client.read(upTo: 9) == [1]) }
      server.drain(within: .zero)
      for client in others { #expect(try await client.readAll().isEmpty) }
      for worker in [runtime.workers[0], runtime.workers[2]] { await worker.idle() }
      #expect(ended.value == 0 && server.connectionCount == 1)
      isHeld.store(false, ordering: .relaxed)
      #expect(try await running.value == ServeReport(cut: 3))
    }
  }

  @Test func `of connections that come while a server drains it takes a bounded number`() {
    var state = ServerState(late: 2)
    _ = state.drain(by: 0)
    #expect(
      [state.takeLate(), state.takeLate(), state.takeLate(), state.takeLate()] == [true, true, false, false])
  }

  /// A task that ends is looked for among all of its group, which must not be all connections that there are.
  @Test func `connections are in groups of 256, whose tasks all run on the workers`() async throws {
    try await withRuntime(workers: 1) { runtime in
      let listener = try await TcpListener.bind("127.0.0.1:0")
      let server = listener.server(grace: forever) { stream in
        try await stream.write([1])
        await untilCancelled()
      }
      let before = runtime.workers[0].driver.owners.count
      let serving = runtime.spawn { try await server.run() }
      var clients: [TcpStream] = []
      for _ in 0..<600 { clients.append(try await greeted(by: listener)) }
      // The task that was spawned, three groups, the connections.
      #expect(runtime.workers[0].driver.owners.count - before == 1 + 3 + 600)
      server.drain(within: .zero)
      #expect(try await serving.value == ServeReport(cut: 600))
      for client in clients { client.close() }
      #expect(runtime.workers[0].driver.owners.count == before)
    }
  }
}
