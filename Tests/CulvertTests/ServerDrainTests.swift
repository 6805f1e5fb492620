// SPDX-License-Identifier: Apache-2.0
// The end of a server: who is let in, who may finish, who is cut, and that run() returns after all of it.
import CCulvert
import CulvertTesting
import Testing

@testable import Culvert

@Suite(.timeLimit(watchdog)) struct ServerDrainTests {
  /// Greets, and sends back one byte.
  private static let greetAndAnswer: @Sendable (TcpStream) async throws -> Void = { stream in
    try await stream.write([1])
    let byte = try await stream.readExactly(1)
    try await stream.write(byte)
  }

  private static func listen() async throws -> TcpListener { try await TcpListener.bind(.loopback(port: 0)) }

  @Test(arguments: Place.allCases)
  func `a drain at any moment is noticed`(place: Place) async throws {
    try await place.run {
      for round in 0..<100 {
        let server = try await Self.listen().server(grace: forever) { _ in }
        let report = try await whileRunning(server) {
          for _ in 0..<round % 5 { await Task.yield() }
          server.drain()
        }
        #expect(report == ServeReport())
      }
    }
  }

  @Test(.enabled(if: !isChaotic, aTryMayBlock), arguments: Place.allCases)
  func `a connection that was made before the drain is served, at whatever moment that comes`(place: Place)
    async throws
  {
    try await place.run {
      for round in 0..<100 {
        let listener = try await Self.listen()
        let server = listener.server(grace: forever, Self.greetAndAnswer)
        let report = try await whileRunning(server) {
          for _ in 0..<round % 5 { await Task.yield() }
          let client = try await TcpStream.connect(to: listener.localAddress)
          for _ in 0..<round % 3 { await Task.yield() }
          server.drain()
          try await client.write([7])
          #expect(try await client.readAll() == [1, 7])
        }
        #expect(report == ServeReport(served: 1))
      }
    }
  }

  @Test(.enabled(if: !isChaotic, aTryMayBlock))
  func `a server that drains before it runs serves whom the kernel has let in`() async throws {
    let listener = try await Self.listen()
    var clients: [TcpStream] = []
    for byte in 0..<200 as Range<UInt8> {
      clients.append(try await TcpStream.connect(to: listener.localAddress))
      try await clients.last?.write([byte])
    }
    let server = listener.server(grace: forever, Self.greetAndAnswer)
    server.drain()
    #expect(try await server.run() == ServeReport(served: 200))
    for (byte, client) in clients.enumerated() { #expect(try await client.readAll() == [1, UInt8(byte)]) }
    #expect(await failure { try await TcpStream.connect(to: listener.localAddress) } == .closed)
  }

  /// In a process of its own: a process that another test starts holds the listener between fork and exec.
  @Test func `handlers may finish, and whoever comes is refused`() async {
    await #expect(processExitsWith: .success) {
      try await onOneWorker { worker in
        let listener = try await ServerDrainTests.listen()
        let address = try listener.localAddress
        let server = listener.server(grace: forever, ServerDrainTests.greetAndAnswer)
        let report = try await whileRunning(server) {
          var clients: [TcpStream] = []
          for _ in 0..<5 { clients.append(try await greeted(by: listener)) }
          #expect(!server.isDraining && server.connectionCount == 5)
          server.drain()
          server.drain()
          try await server.draining()
          #expect(server.isDraining)
          await worker.idle()
          #expect(await failure { try listener.localAddress } == .closed)
          #expect(await failure { try await TcpStream.connect(to: address) } == .connectionRefused)
          for client in clients {
            try await client.write([7])
            #expect(try await client.readAll() == [7])
          }
        }
        #expect(report == ServeReport(served: 5))
      }
    }
  }

  @Test func `who still runs when the grace is over is cancelled, awaited and counted`() async throws {
    let listener = try await Self.listen()
    let (ended, told) = (Tally(), Tally())
    let server = listener.server(grace: .milliseconds(30)) { error, _ in
      if (error as? IoError)?.code == .cancelled { told.add() }
    } _: { stream in
      defer { ended.add() }
      try await stream.write([1])
      _ = try await stream.read(upTo: 1)
    }
    let report = try await whileRunning(server) {
      var clients: [TcpStream] = []
      for _ in 0..<3 { clients.append(try await greeted(by: listener)) }
      clients[0].close()
      try await ended.reached(1)
      let begin = MonotonicTime.now
      server.drain()
      for client in clients[1...] { #expect(try await client.readAll() == []) }
      #expect(MonotonicTime.now - begin >= 30_000_000)
    }
    #expect(report == ServeReport(served: 1, cut: 2) && ended.value == 3 && told.value == 2)
  }

  @Test func `a handler that ignores its cancellation is awaited`() async throws {
    try await onOneWorker { worker in
      let listener = try await Self.listen()
      let (gate, hasReturned) = (Latch(), Tally())
      let server = listener.server(grace: .zero) { stream in
        try await stream.write([1])
        _ = await gate.waitThoughCancelled(for: ())
        #expect(Task.isCancelled && hasReturned.value == 0)
      }
      async let report = server.run()
      let client = try await greeted(by: listener)
      server.drain()
      await worker.idle()
      gate.open()
      #expect(try await report == ServeReport(cut: 1))
      hasReturned.add()
      client.close()
    }
  }

  @Test(arguments: [
    [Duration.zero, forever], [forever, .zero], [.seconds(-1)], [forever, .milliseconds(5), forever],
  ])
  func `of several deadlines the first counts`(deadlines: [Duration]) async throws {
    try await onOneWorker { worker in
      let listener = try await Self.listen()
      let server = listener.server { stream in
        try await stream.write([1])
        _ = try await stream.read(upTo: 1)
      }
      let report = try await whileRunning(server) {
        let client = try await greeted(by: listener)
        for deadline in deadlines {
          server.drain(within: deadline)
          await worker.idle()
        }
        #expect(try await client.readAll() == [])
      }
      #expect(report == ServeReport(cut: 1))
    }
  }

  enum Drainer: CaseIterable, Sendable { case thread, child, handler }

  @Test(arguments: Place.allCases, Drainer.allCases)
  func `anybody may drain, a handler too`(place: Place, drainer: Drainer) async throws {
    try await place.run {
      let listener = try await Self.listen()
      let server = listener.server(grace: forever) { stream, server in
        if drainer == .handler { server.drain() }
        try await Self.greetAndAnswer(stream)
        #expect(server.isDraining)
      }
      let report = try await whileRunning(server) {
        let client = try await greeted(by: listener)
        switch drainer {
        case .thread: await Task.detached { server.drain() }.value
        case .child: await withTaskGroup { $0.addTask { server.drain() } }
        case .handler: break
        }
        try await client.write([7])
        #expect(try await client.readAll() == [7])
      }
      #expect(report == ServeReport(served: 1))
    }
  }

  @Test(arguments: Place.allCases, [false, true])
  func `cancelling run cancels the handlers, whether it drains or not, and waits for their end`(
    place: Place, drains: Bool
  ) async throws {
    try await place.run {
      let listener = try await Self.listen()
      let ended = Tally()
      let server = listener.server(grace: forever) { stream in
        defer { ended.add() }
        try await stream.write([1])
        await untilCancelled()
      }
      let running = Task {
        #expect(await failure { try await server.run() } == .cancelled)
        #expect(ended.value == 1)
      }
      let client = try await greeted(by: listener)
      if drains {
        server.drain()
        await listener.closed()
      }
      running.cancel()
      await running.value
      #expect(try await client.readAll() == [])
      // Who cancels may go on with the listener, who drains has done with it.
      #expect((await failure { try listener.localAddress } == .closed) == drains)
    }
  }

  @Test func `a server that is full can be cancelled`() async throws {
    try await onOneWorker { worker in
      let listener = try await Self.listen()
      let server = listener.server(maximumConnections: 1) { stream in
        try await stream.write([1])
        await untilCancelled()
      }
      let running = Task { await failure { try await server.run() } }
      let client = try await greeted(by: listener)
      await worker.idle()
      running.cancel()
      #expect(await running.value == .cancelled)
      client.close()
    }
  }

  @Test func `a runtime that ends while a server drains ends that, too`() async throws {
    let runtime = try Runtime(Runtime.Configuration(workers: 2))
    let listener = try await Self.listen()
    let server = listener.server(grace: forever) { stream in
      try await stream.write([1])
      // One waits for its peer, the other for what knows nothing of runtimes.
      _ = try await stream.read(upTo: 1)
      await untilCancelled()
    }
    let running = runtime.spawn { try await server.run() }
    let (silent, other) = (try await greeted(by: listener), try await greeted(by: listener))
    try await other.write([1])
    server.drain()
    await runtime.shutDown()
    let report = try await running.value
    #expect(report.served == 0 && report.failed + report.cut == 2)
    silent.close()
  }
}

#if FaultInjection
  extension ServerDrainTests {
    @Test(arguments: [EMFILE, ECONNABORTED])
    func `a drain is noticed while no connection can be accepted`(errno: Int32) async throws {
      let script = FaultScript()
      script.add(.fail(errno), to: [.accept])
      try await script.run {
        try await onOneWorker { worker in
          let failing = Gate()
          let listener = try await TcpListener.bind(.loopback(port: 0)) { _ in failing.open() }
          let server = listener.server(grace: forever) { _ in }
          let report = try await whileRunning(server) {
            let client = try await TcpStream.connect(to: listener.localAddress)
            if errno == EMFILE { try await failing.passed() } else { await Task.yield() }
            server.drain()
            #expect(await failure { try await client.readExactly(1) } == .connectionReset)
          }
          #expect(report == ServeReport())
        }
      }
    }
  }
#endif
