// SPDX-License-Identifier: Apache-2.0
// One stream, listener or bridge that is used from everywhere at once: the workers of its runtime, those of another one,
// actors, the global executor.
import CCulvert
import CulvertTesting
import Testing

@testable import Culvert

@Suite(.timeLimit(watchdog)) struct AnyThreadTests {
  /// Runs `body` twice in each kind of place at once, and once on the other worker of `home`.
  private func everywhere(
    _ home: Runtime, _ body: @escaping @Sendable (_ number: Int) async throws -> Void
  ) async throws {
    try await withThrowingTaskGroup { group in
      for (index, place) in (Place.allCases + Place.allCases).enumerated() {
        // Not on the caller's worker, which a child would inherit.
        group.addTask(executorPreference: globalConcurrentExecutor) {
          try await place.run { try await body(index) }
        }
      }
      group.addTask(executorPreference: home.workers[1]) { try await body(2 * Place.allCases.count) }
      try await group.waitForAll()
    }
  }

  @Test func `a stream is read from everywhere at once, and each byte is read once`() async throws {
    try await withRuntime(workers: 2) { home in
      let (client, server) = try await TcpStream.loopbackPair()
      // Else it would live on whichever worker comes first, and end with that.
      try home.workers[0].driver.handle.addIoSource(server.registration.info)
      let got = Locked<[UInt8]>([])
      async let read: Void = everywhere(home) { number in
        while let some = try await server.read(upTo: 1 + number) { got.withLock { $0 += some } }
      }
      let sent = (0..<rounds(ci: 5_000, stress: 500_000)).map { UInt8($0 % 251) }
      for start in stride(from: 0, to: sent.count, by: 5) { try await client.write(sent[start..<start + 5]) }
      try client.shutdown()
      try await read
      #expect(got.withLock { $0 }.sorted() == sent.sorted())
    }
  }

  @Test func `a stream that nobody waited for is armed anew by whoever waits next, though that is elsewhere`()
    async throws
  {
    let (home, other) = (try Runtime(.init(workers: 1)), try Runtime(.init(workers: 1)))
    let (client, server) = try TcpStream.overSocketPair()
    try home.workers[0].driver.handle.addIoSource(server.registration.info)
    for _ in 0..<20 {
      let first = other.spawn { try await server.read(upTo: 9) }
      await other.workers[0].idle()
      await home.workers[0].idle()
      try await client.write("a")
      #expect(try await first.value == Array("a".utf8))
      try await client.write("b")
      await home.workers[0].idle()  // that event found nobody
      #expect(try await other.spawn { try await server.read(upTo: 9) }.value == Array("b".utf8))
    }
    for runtime in [home, other] { await runtime.shutDown() }
  }

  @Test
  func `a stream is written to from everywhere at once: each write is whole, those of one task in order`()
    async throws
  {
    try await withRuntime(workers: 2) { home in
      let (client, server) = try TcpStream.overSocketPair()
      try home.workers[0].driver.handle.addIoSource(client.registration.info)
      let (size, each) = (50_000, rounds(ci: 20, stress: 2_000))
      let reading = home.spawn {
        var next: [UInt8: Int] = [:]
        while case let block = try await server.readExactly(size), !block.isEmpty {
          let writer = block[0]
          #expect(Int(block[1]) == next[writer, default: 0] % 250)
          let isWhole = isSame(Array(block[2...]), [UInt8](repeating: writer, count: size - 2))
          #expect(isWhole)
          next[writer, default: 0] += 1
        }
        return next
      }
      try await everywhere(home) { number in
        let writer = UInt8(number)
        for round in 0..<each {
          let bytes = [writer, UInt8(round % 250)] + [UInt8](repeating: writer, count: size - 2)
          if round % 2 == 0 {
            try await client.write(bytes)
          } else {
            try await client.write(vectored: [Array(bytes[..<9]), Array(bytes[9...])])
          }
        }
      }
      try client.shutdown()
      let counts = try await reading.value
      #expect(counts == Dictionary(uniqueKeysWithValues: (0..<9 as Range<UInt8>).map { ($0, each) }))
    }
  }

  @Test func `a listener is accepted from everywhere at once, and each connection is accepted once`()
    async throws
  {
    try await withRuntime(workers: 2) { home in
      let listener = try await TcpListener.bind(.loopback(port: 0))
      async let first = listener.accept()  // so that it lives here
      await home.workers[0].idle()
      let target = try listener.localAddress
      _ = try await TcpStream.connect(to: target)
      _ = try await first
      // This one finds nobody, so that whoever comes next has the listener armed anew.
      var clients = [try await TcpStream.connect(to: target)]
      await home.workers[0].idle()
      let accepted = Locked<[SocketAddress: Int]>([:])
      let count = Tally()
      async let accepting: Void = everywhere(home) { _ in
        for try await stream in listener.connections {
          accepted.withLock { $0[stream.peerAddress, default: 0] += 1 }
          count.add()
        }
      }
      while clients.count < 300 { clients.append(try await TcpStream.connect(to: target)) }
      try await count.reached(300)
      listener.close()
      try await accepting
      let expected = try clients.map { client throws(IoError) in (try client.localAddress, 1) }
      #expect(accepted.withLock { $0 } == Dictionary(uniqueKeysWithValues: expected))
    }
  }

  @Test func `a bridge is waited for from everywhere in both directions, and one close ends all of that`()
    async throws
  {
    try await withRuntime(workers: 2) { home in
      for round in 0..<rounds(ci: 20, stress: 2_000) {
        let clogged = try TcpStream.clogged()
        let stream = clogged.stream
        try home.workers[0].driver.handle.addIoSource(stream.registration.info)
        let begun = Tally()
        async let waiting: Void = everywhere(home) { number in
          let interest: IoEventInterest = number % 2 == 0 ? .readable : .writable
          begun.add()
          #expect(await failure { try await stream.ready(for: interest) } == .closed)
        }
        try await begun.reached(round % 10)
        stream.close()
        try await waiting
        await stream.closed()
      }
    }
  }

  @Test(.disabled(if: isChaotic, aTryMayBlock))
  func `who waits elsewhere for a stream whose runtime ends is told so, and can use others`()
    async throws
  {
    let home = try Runtime(Runtime.Configuration(workers: 1))
    let (stream, peer) = try TcpStream.overSocketPair()
    try home.workers[0].driver.handle.addIoSource(stream.registration.info)
    try await withRuntime(workers: 2) { other in
      let (mine, theirs) = try TcpStream.overSocketPair()
      async let waiting: Void = everywhere(other) { _ in
        #expect(await failure { try await stream.read(upTo: 1) } == .shutDown)
        try await theirs.write("x")
      }
      for worker in other.workers { await worker.idle() }
      await home.shutDown()
      try await waiting
      #expect(try await mine.readExactly(9).count == 9)
      await peer.closed()
    }
  }
}
