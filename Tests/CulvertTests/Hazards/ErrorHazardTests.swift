// SPDX-License-Identifier: Apache-2.0
// Bugs that other runtimes had with errors, cancellation and ends. Each test is named after its row in the list of hazards.
import CCulvert
import CulvertTesting
import Testing

@testable import Culvert

extension TcpStream {
  /// Ends the connection as a peer does that has crashed: with a reset.
  func cut() throws {
    var linger = linger(l_onoff: 1, l_linger: 0)
    let size = socklen_t(MemoryLayout.size(ofValue: linger))
    let status = unsafe setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, size)
    try #require(status == 0)
    close()
  }
}

@Suite(.timeLimit(watchdog)) struct ErrorHazardTests {
  @Test
  func `hazard 9: a reset while tasks wait is a reset to whoever asks first, and never a bad descriptor`()
    async throws
  {
    try await onOneWorker { worker in
      let (client, server) = try await TcpStream.loopbackPair()
      async let reading = failure { try await server.read(upTo: 1) }
      async let writing = failure { try await server.write(much) }
      await worker.idle()
      try client.cut()
      // The kernel tells an error once: to the write the rest is a broken pipe, and the read is told by the library.
      let (read, write) = (await reading, await writing)
      #expect([read, write].contains(.connectionReset))
      #expect(read == .connectionReset)
      #expect(write == .connectionReset || write == .brokenPipe)
      #expect(try await server.read(upTo: 1) == nil)
    }
  }

  @Test(.enabled(if: Platform.canWaitForPeerFinished), arguments: [true, false])
  func `hazard 30: a reset that a write was told of is not the end of the stream to a read`(waits: Bool)
    async throws
  {
    for look in 0..<3 {
      let (client, server) = try await TcpStream.loopbackPair()
      try client.cut()
      try await server.hungUp()
      let written =
        waits
        ? await failure { try await server.write("x") }
        : await failure { while try server.tryWrite([1]) == nil {} }
      #expect(written == .connectionReset)
      var buffer: [UInt8] = [0]
      switch look {
      case 0: #expect(await failure { try await server.read(into: &buffer) } == .connectionReset)
      case 1: #expect(await failure { try await server.peek(into: &buffer) } == .connectionReset)
      default:
        // A single try may be told that it would block.
        let code = await failure { while try server.tryRead(into: &buffer) == nil {} }
        #expect(code == .connectionReset)
      }
      #expect(try await server.read(into: &buffer) == 0)
    }
  }

  @Test func `hazard 11: an error that stays is thrown by the first try, and no loop runs on it`()
    async throws
  {
    try await onOneWorker { worker in
      let (mine, theirs) = try socketPair()
      defer { close(theirs) }
      let bridge = try BridgedFd(adopting: mine)
      #expect(writeByte(theirs))
      let calls = Tally()
      let before = worker.driver.turn
      let code = await failure {
        try await bridge.asyncCall(.readable) { (_) throws(IoError) -> Int? in
          if calls.add() == 100 { return 0 }
          throw IoError(errno: ENETDOWN, during: "test")
        }
      }
      #expect(code == .networkDown && calls.value == 1)
      #expect(worker.driver.turn - before < 5)
    }
  }

  #if FaultInjection
    @Test func `hazard 11: an error that accept passes over for ever leaves the worker to others`()
      async throws
    {
      try await onOneWorker { worker in
        let listener = try await TcpListener.bind(.loopback(port: 0))
        let script = FaultScript()
        script.add(.fail(ENETDOWN), to: [.accept])
        let accepting = Task(executorPreference: worker) {
          await script.run { await failure { try await listener.accept() } }
        }
        // Both of what a worker does for others: jobs and timers.
        for _ in 0..<20 {
          await Task(executorPreference: worker) {}.value
          try await sleep(for: .microseconds(10))
        }
        accepting.cancel()
        #expect(await accepting.value == .cancelled)
        #expect(script.injected[.accept] ?? 0 > 20)
      }
    }
  #endif

  // MARK: cancellation

  @Test
  func `hazard 27: lines that are read by tasks cancelled at any moment are all there, once, and in order`()
    async throws
  {
    try await withRuntime(workers: 2) { runtime in
      var random = SeededRandom(27)
      let (client, server) = try await TcpStream.loopbackPair()
      let lines = OneAtATime(BufferedReader(server))
      var (next, cancelled, pieces) = (0, 0, 0)
      while pieces < rounds(ci: 2_000, stress: 200_000) {
        let task = runtime.spawn(on: runtime.workers[pieces % 2]) { try await lines.next() }
        if Bool.random(using: &random) { await Task.yield() }
        // Half a line for each reader.
        try await client.write(pieces % 2 == 0 ? "line " : "\(pieces / 2)\n")
        pieces += 1
        for _ in 0..<Int.random(in: 0...2, using: &random) { await Task.yield() }
        task.cancel()
        do {
          #expect(try await task.value == "line \(next)")
          next += 1
        } catch {
          #expect((error as? IoError)?.code == .cancelled)
          cancelled += 1
        }
      }
      try client.shutdown()
      while let line = try await lines.next() {
        #expect(line == "line \(next)")
        next += 1
      }
      #expect(next == pieces / 2 && cancelled > 0)
    }
  }

  @Test func `hazard 27: of a write cancelled at any moment exactly as much has gone out as it says`()
    async throws
  {
    try await withRuntime(workers: 2) { runtime in
      var random = SeededRandom(27)
      var partial = 0
      // A stream for each 200: what they wrote is kept until its end.
      for _ in 0..<rounds(ci: 1, stress: 100) {
        let (client, server) = try TcpStream.overSocketPair()
        let reading = runtime.spawn(on: runtime.workers[1]) { try await server.readAll() }
        var expected: [UInt8] = []
        for number in 0..<200 {
          let count = Int.random(in: 1...600_000, using: &random)
          let bytes = [UInt8](repeating: UInt8(number), count: count)
          let task = runtime.spawn(on: runtime.workers[number % 2]) { try await client.write(bytes) }
          for _ in 0..<Int.random(in: 0...3, using: &random) { await Task.yield() }
          if number % 4 != 0 { task.cancel() }
          let error = await thrown { try await task.value }
          #expect(error == nil || error?.code == .cancelled)
          let written = error?.bytesWritten ?? count
          if written != 0 && written != count { partial += 1 }
          expected += bytes.prefix(written)
        }
        try client.shutdown()
        #expect(isSame(try await reading.value, expected))
      }
      #expect(partial > 0)
    }
  }

  /// Ways in which a task may wait, each with what ends the wait, and what is left when both have happened.
  enum Spot: CaseIterable, Sendable {
    case latch, timer, turn, signal

    func make() -> (wait: @Sendable () async -> WakeReason, end: @Sendable () -> Void, isIntact: () -> Bool) {
      switch self {
      case .latch:
        let latch = Latch()
        return ({ await latch.wait(for: ()) }, { latch.open() }, { true })
      case .timer:
        let timers = TimerQueue {}
        let wait = { @Sendable in await timers.wait(for: TimerQueue.never - 1) }
        return (wait, { timers.close() }, { timers.count == 0 && timers.earliest == TimerQueue.never })
      case .turn:
        let turn = SharedTurn()
        _ = turn.tryTake()
        let wait = { @Sendable in
          let reason = await turn.wait()
          if reason == .ready { turn.give() }
          return reason
        }
        return (wait, { turn.give() }, { turn.tryTake() })
      case .signal:
        let watch = SignalWatch([SIGUSR1])
        return ({ await watch.wait(for: ()) }, { watch.raise(SIGUSR1) }, { watch.take() == SIGUSR1 })
      }
    }
  }

  @Test(arguments: Spot.allCases, [true, false])
  func `hazard 28: a wait that ends and is cancelled at once ends once, and what ended it is not lost`(
    spot: Spot, isOwned: Bool
  ) async throws {
    try await withRuntime(workers: 2) { runtime in
      var random = SeededRandom(28)
      var reasons: [Bool: Int] = [:]
      for round in 0..<rounds(ci: 1_000, stress: 125_000) {
        let (wait, end, isIntact) = spot.make()
        let worker = runtime.workers[1]
        let task =
          isOwned
          ? runtime.spawn(on: worker) { await wait() }
          : Task(executorPreference: worker) { () throws in await wait() }
        for _ in 0..<round % 3 { await Task.yield() }
        let first = Bool.random(using: &random)
        let racers = [first, !first].map { ends in Task.detached { if ends { end() } else { task.cancel() } }
        }
        for racer in racers { await racer.value }
        let reason = try await task.value
        #expect(reason == .ready || reason == .cancelled || (spot == .timer && reason == .shutDown))
        reasons[reason == .cancelled, default: 0] += 1
        #expect(isIntact())
      }
      #expect(reasons.count == 2)
    }
  }
}

/// What is for one task at a time, used by one task after the other.
private actor OneAtATime {
  private let lines: BufferedReader<TcpStream>
  init(_ lines: sending BufferedReader<TcpStream>) { self.lines = lines }
  func next() async throws(IoError) -> String? { try await lines.readLine() }
}

#if os(Linux)
  /// In processes of their own, since they count descriptors.
  @Suite(.timeLimit(watchdog)) struct ErrorProcessHazardTests {
    @Test func `hazard 27: accepts cancelled at any moment lose no connection, and no descriptor`() async {
      await #expect(processExitsWith: .success) {
        setWatchdog()
        try await withRuntime(workers: 2) { runtime in
          var random = SeededRandom(27)
          let listener = try await TcpListener.bind(.loopback(port: 0))
          func connectAndAccept(_ count: Int) async throws {
            for _ in 0..<count {
              let accepting = runtime.spawn { try await listener.accept() }
              for _ in 0..<Int.random(in: 0...3, using: &random) { await Task.yield() }
              async let connected = TcpStream.connect(to: listener.localAddress)
              accepting.cancel()
              let early = try? await accepting.value
              let stream = if let early { early } else { try await listener.accept() }
              #expect(try await connected.localAddress == stream.peerAddress)
              try stream.cut()
            }
            for worker in runtime.workers { await worker.idle() }
          }
          try await connectAndAccept(10)
          let before = openDescriptorCount()
          try await connectAndAccept(rounds(ci: 500, stress: 50_000))
          #expect(openDescriptorCount() == before)
        }
      }
    }

    @Test func `hazard 33: what can't be registered is refused each time, and leaves nothing behind`() async {
      await #expect(processExitsWith: .success) {
        setWatchdog()
        try await onOneWorker { worker in
          func refuse(_ count: Int) async throws {
            for _ in 0..<count {
              let file = try BridgedFd(
                adopting: unsafe "/proc/self/exe".withCString { unsafe culvert_open_read($0, false) })
              for _ in 0..<2 {
                let code = await failure {
                  try await file.asyncCall(.readable) { (_) throws(IoError) -> Int? in nil }
                }
                #expect(code == .unsupported)
              }
              await file.closed()
            }
          }
          try await refuse(500)
          let (descriptors, memory) = (openDescriptorCount(), residentBytes())
          try await refuse(rounds(ci: 2_000, stress: 1_000_000))
          #expect(openDescriptorCount() == descriptors)
          #expect(worker.driver.handle.registrationCount == 0)
          #expect(isSanitized || residentBytes() - memory < 1 << 20)
        }
      }
    }

    @Test
    func `hazard 41: a number that somebody else has got is not closed, whatever is done to its old owner`()
      async
    {
      await #expect(processExitsWith: .success) {
        setWatchdog()
        try await onOneWorker { worker in
          for round in 0..<rounds(ci: 500, stress: 50_000) {
            let number: Int32
            do {
              let (stream, peer) = try TcpStream.overSocketPair()
              number = stream.fd
              async let code = round % 2 == 0 ? failure { try await stream.read(upTo: 1) } : .closed
              if round % 3 == 0 { await worker.idle() }
              await stream.closed()
              #expect(await code == .closed)
              #expect(dup2(peer.fd, number) == number)
              stream.close()
              await stream.closed()
              #expect(await failure { try await stream.read(upTo: 1) } == .closed)
            }
            await worker.idle()
            #expect(culvert_is_open(number))
            close(number)
          }
        }
      }
    }
  }
#endif
