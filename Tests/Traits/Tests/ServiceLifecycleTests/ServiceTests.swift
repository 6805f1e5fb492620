// SPDX-License-Identifier: Apache-2.0
// A server as a service: who else uses swift-service-lifecycle need not know what a server is.

import Culvert
import CulvertTesting
import Logging
import ServiceLifecycle
import ServiceLifecycleTestKit
import Testing
import UnixSignals

@Suite(.timeLimit(.minutes(1))) struct ServiceTests {
  /// Greets, and waits for one byte.
  private func greeter(on listener: TcpListener, grace: Duration) -> Server {
    listener.server(grace: grace) { stream in
      try await stream.write("!")
      _ = try await stream.read(upTo: 1)
    }
  }

  private func run(_ service: some Service) async throws { try await service.run() }

  @Test func `a graceful shutdown drains the server, and lets its connections finish`() async throws {
    try await withRuntime(workers: 1) { _ in
      let listener = try await TcpListener.bind("127.0.0.1:0")
      let server = greeter(on: listener, grace: .seconds(3600))
      try await testGracefulShutdown { trigger in
        async let served: Void = run(server)
        let client = try await TcpStream.connect(to: listener.localAddress)
        _ = try await client.read(upTo: 1)
        trigger.triggerGracefulShutdown()
        try await server.draining()
        #expect(server.connectionCount == 1)
        try await client.write("x")
        try await served
      }
      await #expect(throws: IoError.self) { try await TcpStream.connect(to: listener.localAddress) }
    }
  }

  @Test func `handlers are cancelled when the grace is over`() async throws {
    let clock = VirtualClock()
    try await withRuntime(clock: clock) { _ in
      let listener = try await TcpListener.bind("127.0.0.1:0")
      let server = greeter(on: listener, grace: .seconds(30))
      try await testGracefulShutdown { trigger in
        async let served: Void = run(server)
        let client = try await TcpStream.connect(to: listener.localAddress)
        _ = try await client.read(upTo: 1)
        trigger.triggerGracefulShutdown()
        await clock.advance(by: .seconds(30))
        try await served
        #expect(try await client.read(upTo: 1) == nil)
      }
    }
  }

  /// The article's (Services.md); not run, for it takes the process's signals.
  private func serve(_ logger: Logger) async throws {
    try await withRuntime { _ in
      let listener = try await TcpListener.bind("127.0.0.1:0")
      let server = listener.server(grace: .seconds(10)) { stream in
        while let chunk = try await stream.read(upTo: 4096) { try await stream.write(chunk) }
      }
      let group = ServiceGroup(services: [server], gracefulShutdownSignals: [.sigterm], logger: logger)
      try await group.run()
    }
  }

  @Test func `its own run, with a report, is what code without a group gets`() async throws {
    let listener = try await TcpListener.bind("127.0.0.1:0")
    let server = greeter(on: listener, grace: .zero)
    server.drain()
    let report = try await server.run()
    #expect(report == ServeReport())
  }

  @Test func `a cancelled service says so`() async throws {
    let listener = try await TcpListener.bind("127.0.0.1:0")
    let server = greeter(on: listener, grace: .zero)
    let task = Task { try await run(server) }
    task.cancel()
    let error = await #expect(throws: IoError.self) { try await task.value }
    #expect(error?.code == .cancelled)
  }
}
