// SPDX-License-Identifier: Apache-2.0
// The end of a runtime with a thousand waiters of each kind. Named after its row in the list of hazards.
import CCulvert
import CulvertTesting
import Testing

@testable import Culvert

#if os(Linux)
  /// What a runtime is ended by.
  private enum Ender: CaseIterable { case outside, inside, twice }

  private let count = 1_000

  /// In a process of its own: it counts descriptors, needs many, and listens to signals.
  @Suite(.timeLimit(watchdog)) struct ShutDownHazardTests {
    @Test(.enabled(if: descriptorLimit > 4_000, "needs 4,000 descriptors"))
    func
      `hazard 32: 1,000 waiters of each kind get their answer when the runtime ends, from inside or outside`()
      async
    {
      await #expect(processExitsWith: .success) {
        setWatchdog()
        try #require(descriptorLimit > 4_000)
        try await check(.outside)
        let before = openDescriptorCount()
        for ender in Ender.allCases { try await check(ender) }
        #expect(openDescriptorCount() == before)
      }
    }
  }

  private func check(_ ender: Ender) async throws {
    let runtime = try Runtime(Runtime.Configuration(workers: 2))
    let quiet = try (0..<count / 2).flatMap { _ in
      let (one, other) = try TcpStream.overSocketPair()
      return [one, other]
    }
    let (clogged, turns) = (try TcpStream.clogged(), try TcpStream.clogged())
    let (busy, busyPeer) = try TcpStream.overSocketPair()
    let listener = try await TcpListener.bind(.loopback(port: 0))
    let full = try await TcpListener.bind(.loopback(port: 0), backlog: 0)
    let target = try full.localAddress
    let filling = try (0..<4).map { _ in
      let socket = Descriptor(adopting: try Socket.stream(for: target.family, during: "test"))
      _ = try Socket.connect(socket.number, to: target, during: "test")
      return socket
    }
    let signals = try await runtime.spawn { try await Signals.listen(to: .user2) }.value

    typealias Waiting = Task<IoError.Code?, any Error>
    func wait(_ body: @escaping @Sendable (Int) async throws -> Void) -> [Waiting] {
      (0..<count).map { number in runtime.spawn { await failure { try await body(number) } } }
    }
    let answered = [
      "readable": wait { _ = try await quiet[$0].read(upTo: 1) },
      "writable": wait { _ in try await clogged.stream.writable() },
      "write": wait { _ in try await turns.stream.write("x") },
      "accept": wait { _ in _ = try await listener.accept() },
      "connect": wait { _ in _ = try await TcpStream.connect(to: target) },
      "sleep": wait { _ in try await sleep(for: .seconds(3600)) },
    ]
    let signalled = wait { _ in
      for await signal in signals { Issue.record("\(signal)") }
    }
    // A call in flight: nobody but its caller can end that, so those who wait for it are not answered, but go on.
    #expect(busy.descriptor.acquire())
    let closing = wait { _ in await busy.closed() }
    for _ in 0..<2 { for worker in runtime.workers { await worker.idle() } }

    switch ender {
    case .outside: await runtime.shutDown()
    case .inside: try await runtime.spawn { await runtime.shutDown() }.value
    case .twice:
      async let inside: Void = runtime.spawn { await runtime.shutDown() }.value
      async let outside: Void = runtime.shutDown()
      _ = try await (inside, outside)
    }
    for worker in runtime.workers { #expect(worker.isClosed) }
    busy.descriptor.release()
    for (kind, tasks) in answered {
      var codes: [IoError.Code?: Int] = [:]
      for task in tasks { codes[try await task.value, default: 0] += 1 }
      #expect(codes == [.shutDown: count], "\(kind)")
    }
    for task in signalled + closing { #expect(try await task.value == nil) }
    for worker in runtime.workers { #expect(worker.driver.handle.registrationCount <= count) }
    for stream in quiet + [clogged.peer, turns.peer, busyPeer] { await stream.closed() }
    for stream in [clogged.stream, turns.stream] { await stream.closed() }
    for listener in [listener, full] { await listener.closed() }
    for socket in filling { socket.close() }
  }
#endif
