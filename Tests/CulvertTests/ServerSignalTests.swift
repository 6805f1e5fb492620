// SPDX-License-Identifier: Apache-2.0
// Servers that run until a signal: one that does nothing to who does not listen for it, and that no other test sends.
import CulvertTesting
import Foundation
import Testing

@testable import Culvert

@Suite(.serialized, .timeLimit(watchdog)) struct ServerSignalTests {
  private static let end = Signal(rawValue: SIGURG)

  /// Greets, and ends with its peer, or when it is cut.
  private static let greet: @Sendable (TcpStream) async throws -> Void = { stream in
    try await stream.write([1])
    _ = try await stream.readAll()
  }

  private func listen() async throws -> TcpListener { try await TcpListener.bind(.loopback(port: 0)) }

  private func send() { kill(getpid(), Self.end.rawValue) }

  @Test func `a signal drains all servers, and the report is of all`() async throws {
    try await withRuntime(workers: 2) { runtime in
      let signals = try await Signals.listen(to: Self.end)
      let (one, other) = (try await listen(), try await listen())
      let servers = [one, other].map { $0.server(grace: forever, Self.greet) }
      async let report = runtime.run(servers[0], servers[1], until: signals)
      let clients = [try await greeted(by: one), try await greeted(by: one), try await greeted(by: other)]
      send()
      for server in servers { try await server.draining() }
      clients.forEach { $0.close() }
      #expect(try await report == ServeReport(served: 3))
    }
  }

  @Test func `a second signal cuts what is left`() async throws {
    try await withRuntime(workers: 1) { runtime in
      let signals = try await Signals.listen(to: Self.end)
      let listener = try await listen()
      let server = listener.server(grace: forever, Self.greet)
      async let report = runtime.run(server, until: signals)
      let (quick, slow) = (try await greeted(by: listener), try await greeted(by: listener))
      send()
      try await server.draining()
      quick.close()
      await runtime.workers[0].idle { server.connectionCount == 1 }
      send()
      #expect(try await slow.readAll() == [])
      #expect(try await report == ServeReport(served: 1, cut: 1))
    }
  }

  @Test func `the failure of a server drains the others, and is thrown at the end`() async throws {
    try await withRuntime(workers: 2) { runtime in
      let signals = try await Signals.listen(to: Self.end)
      let listener = try await listen()
      let server = listener.server(grace: forever, Self.greet)
      // It has run before, so it fails at once.
      let failing = try await listen().server { _ in }
      #expect(try await whileRunning(failing) { failing.drain() } == ServeReport())
      async let error = thrown { try await runtime.run(server, failing, until: signals) }
      try await server.draining()
      #expect(await error?.operation == "run \(failing) twice")
      #expect(server.connectionCount == 0)
    }
  }

  @Test(arguments: Place.allCases)
  func `servers that end by themselves, or of which there are none, need no signal`(place: Place) async throws
  {
    try await place.run {
      let runtime = try Runtime(Runtime.Configuration(workers: 1))
      let signals = try await Signals.listen(to: Self.end)
      #expect(try await runtime.run(until: signals) == ServeReport())
      let listener = try await listen()
      let server = listener.server { stream in
        #expect(Worker.current === runtime.workers[0])
        try await Self.greet(stream)
      }
      async let report = runtime.run(server, until: signals)
      try await greeted(by: listener).close()
      listener.close()
      #expect(try await report == ServeReport(served: 1))
      await runtime.shutDown()
    }
  }

  @Test func `cancelling cancels the handlers, and waits for their end`() async throws {
    try await withRuntime(workers: 2) { runtime in
      let signals = try await Signals.listen(to: Self.end)
      let listener = try await listen()
      let ended = Tally()
      let server = listener.server(grace: forever) { stream in
        defer { ended.add() }
        try await Self.greet(stream)
      }
      let running = Task { await failure { try await runtime.run(server, until: signals) } }
      let client = try await greeted(by: listener)
      running.cancel()
      #expect(await running.value == .cancelled)
      #expect(ended.value == 1)
      #expect(try await client.readAll() == [])
    }
  }
}
