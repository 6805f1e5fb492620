// SPDX-License-Identifier: Apache-2.0
// What the kernel may answer at any time, on purpose: each call that can fail, failing.
#if FaultInjection
  import CCulvert
  import CulvertTesting
  import Testing

  @testable import Culvert

  @Suite(.timeLimit(watchdog)) struct FaultTests {
    /// Runs `body` on a worker under a script, and returns the script.
    private func under(
      _ fault: FaultScript.Fault, to calls: Set<FaultScript.Call>, times: Int? = nil, chance: Double = 1,
      _ body: @escaping @concurrent @Sendable (Worker) async throws -> Void
    ) async throws -> FaultScript {
      let script = FaultScript(seed: 1)
      try await onOneWorker { worker in
        script.add(fault, to: calls, times: times, chance: chance)
        try await script.run { try await body(worker) }
      }
      return script
    }

    /// A connected pair over TCP, and the listener that made it.
    private func connected() async throws -> (client: TcpStream, server: TcpStream) {
      let listener = try await TcpListener.bind("127.0.0.1:0")
      async let client = TcpStream.connect(to: listener.localAddress)
      let server = try await listener.accept()
      return (try await client, server)
    }

    private func echoRoundTrip(_ size: Int) async throws {
      let (client, server) = try await connected()
      let sent = countingBytes(size)
      async let written: Void = {
        try await client.write(sent)
        try client.shutdown()
      }()
      var got: [UInt8] = []
      while let more = try await server.read(upTo: 1000) { got += more }
      try await written
      #expect(got == sent)
    }

    @Test(arguments: [
      (FaultScript.Call.socket, EMFILE, IoError.Code.tooManyDescriptors),
      (.socket, ENFILE, .tooManyDescriptors),
      (.socket, ENOBUFS, .outOfMemory), (.bind, EADDRINUSE, .addressInUse),
      (.bind, EACCES, .permissionDenied),
      (.listen, EADDRINUSE, .addressInUse), (.setsockopt, ENOBUFS, .outOfMemory),
      (.getsockname, ENOBUFS, .outOfMemory),
    ])
    func `a listener that can't be made says why`(call: FaultScript.Call, errno: Int32, code: IoError.Code)
      async throws
    {
      let script = try await under(.fail(errno), to: [call], times: 1) { _ in
        do throws(IoError) {
          _ = try await TcpListener.bind("127.0.0.1:0")
          Issue.record("no error")
        } catch {
          #expect(error.code == code && error.errno == errno)
          #expect(error.operation.contains("127.0.0.1:0"))
        }
        #expect(await failure { try await TcpListener.bind("127.0.0.1:0") } == nil)
      }
      #expect(script.injected == [call: 1])
    }

    @Test(arguments: [
      (FaultScript.Call.socket, EMFILE, IoError.Code.tooManyDescriptors),
      (.connect, ECONNREFUSED, .connectionRefused),
      (.connect, ENETUNREACH, .unreachable), (.connect, EADDRNOTAVAIL, .addressNotAvailable),
      (.connect, ETIMEDOUT, .timedOut), (.connect, ENETDOWN, .networkDown),
      (.setsockopt, ENOBUFS, .outOfMemory),
    ])
    func `a connection that can't be made says why`(call: FaultScript.Call, errno: Int32, code: IoError.Code)
      async throws
    {
      _ = try await under(.fail(errno), to: [], times: 0) { _ in
        let listener = try await TcpListener.bind("127.0.0.1:0")
        let address = try listener.localAddress
        let script = FaultScript()
        script.add(.fail(errno), to: [call], times: 1)
        await script.run {
          do throws(IoError) {
            _ = try await TcpStream.connect(to: address)
            Issue.record("no error")
          } catch {
            #expect(error.code == code)
            #expect(error.operation.contains("\(address)"))
          }
        }
      }
    }

    @Test func `a signal during connect does not hurt: the attempt goes on`() async throws {
      let script = try await under(.failAfterwards(EINTR), to: [.connect]) { _ in
        let (client, server) = try await connected()
        try await client.write("x")
        #expect(try await server.read(upTo: 10) == [UInt8(ascii: "x")])
      }
      #expect(script.injected[.connect] == 1)
    }

    @Test func `a signal at every other call is never seen`() async throws {
      let calls = FaultScript.Call.allCases.filter { !$0.isUv && $0 != .connect }
      let script = try await under(.fail(EINTR), to: Set(calls), chance: 0.5) { _ in
        try await echoRoundTrip(100_000)
      }
      #expect(script.injected.values.reduce(0, +) > 10)
    }

    @Test func `would-block though data is there costs a turn, not the data`() async throws {
      let script = try await under(.fail(EAGAIN), to: [.accept, .receive, .send], chance: 0.5) { _ in
        try await echoRoundTrip(100_000)
      }
      #expect(script.injected.values.reduce(0, +) > 10)
    }

    @Test func `one byte at a time arrives whole and in order`() async throws {
      let script = try await under(.atMost(1), to: [.receive, .send]) { _ in
        try await echoRoundTrip(5_000)
      }
      #expect(script.injected.values.reduce(0, +) > 1_000)
    }

    @Test(arguments: [ECONNABORTED, EPROTO])
    func `a connection that ended before its accept is passed over at once`(errno: Int32) async throws {
      let script = try await under(.fail(errno), to: [.accept], times: 50) { worker in
        let before = worker.driver.turn
        _ = try await connected()
        #expect(worker.driver.turn - before < 20)
      }
      #expect(script.injected[.accept] == 50)
    }

    @Test(arguments: [EMFILE, ENFILE, ENOBUFS, ENOMEM])
    func `for want of descriptors or memory accept pauses, says so once, and goes on`(errno: Int32)
      async throws
    {
      let reports = Tally()
      let script = try await under(.fail(errno), to: [.accept], times: 6) { worker in
        let listener = try await TcpListener.bind("127.0.0.1:0", onPressure: { _ in reports.add() })
        async let client = TcpStream.connect(to: listener.localAddress)
        let before = worker.driver.turn
        _ = try await listener.accept()
        #expect(worker.driver.turn - before < 60)
        _ = try await client
      }
      #expect(script.injected[.accept] == 6)
      #expect(reports.value == 1)
    }

    @Test func `a pause of accept ends when one of our descriptors is closed`() async throws {
      _ = try await under(.fail(EMFILE), to: [.accept], times: 6) { worker in
        let listener = try await TcpListener.bind("127.0.0.1:0")
        let (mine, theirs) = try socketPair()
        defer { close(theirs) }
        let spare = try BridgedFd(adopting: mine)
        let (first, second) = (try socketPair(), try socketPair())
        let spares = try [first.0, first.1, second.0, second.1].map { try BridgedFd(adopting: $0) } + [spare]
        async let client = TcpStream.connect(to: listener.localAddress)
        let task = Task(executorPreference: worker) { try await listener.accept() }
        let start = MonotonicTime.now
        for spare in spares {
          await worker.idle()
          spare.close()
        }
        _ = try await task.value
        // Without the closes it would be 5 + 10 + 20 + 40 + 80 + 160 ms.
        #expect(MonotonicTime.now - start < 300_000_000)
        _ = try await client
      }
    }

    @Test(arguments: [ENETDOWN, ECONNRESET, ENOMEM])
    func `an error that stays is returned by the first try, and no loop runs on it`(errno: Int32) async throws
    {
      _ = try await under(.fail(EINTR), to: [], times: 0) { worker in
        let (client, server) = try await connected()
        try await client.write("x")
        let script = FaultScript()
        script.add(.fail(errno), to: [.receive])
        let before = worker.driver.turn
        await script.run {
          #expect(await failure { try await server.read(upTo: 1) } == IoError.Code(errno: errno))
        }
        #expect(script.injected[.receive] == 1)
        #expect(worker.driver.turn - before < 5)
        // The stream is as good as before.
        #expect(try await server.read(upTo: 1) == [UInt8(ascii: "x")])
      }
    }

    @Test func `a write that fails in the middle says how much went out`() async throws {
      _ = try await under(.fail(EINTR), to: [], times: 0) { _ in
        // Not over TCP: the kernel may be short of memory for that, and say by itself that it would block.
        let (mine, theirs) = try socketPair()
        let client = try TcpStream(owning: mine, peer: .unnamed)
        let server = try TcpStream(owning: theirs, peer: .unnamed)
        let script = FaultScript()
        script.add(.atMost(10), to: [.send], times: 2)
        script.add(.fail(EPIPE), to: [.send], after: 2)
        await script.run {
          do throws(IoError) {
            try await client.write([UInt8](repeating: 7, count: 25))
            Issue.record("no error")
          } catch {
            #expect(error.code == .brokenPipe)
            #expect(error.bytesWritten == 20)
            #expect("\(error)".hasSuffix("broken pipe after 20 bytes"))
          }
        }
        client.close()
        var got: [UInt8] = []
        while let more = try await server.read(upTo: 100) { got += more }
        #expect(got == [UInt8](repeating: 7, count: 20))
      }
    }

    @Test func `a loop that can't watch says so to the waiter, and to the next one nothing`() async throws {
      let script = try await under(.fail(ENOMEM), to: [.uvPollInit], times: 1) { _ in
        let (mine, theirs) = try socketPair()
        defer { close(theirs) }
        let bridge = try BridgedFd(adopting: mine)
        #expect(await failure { try await bridge.asyncCall(.readable, readByte) } == .outOfMemory)
        #expect(writeByte(theirs, 3))
        #expect(try await bridge.asyncCall(.readable, readByte) == 3)
      }
      #expect(script.injected[.uvPollInit] == 1)
    }

    @Test(arguments: [FaultScript.Call.uvLoopInit, .uvAsyncInit])
    func `a runtime whose loop can't be made says why, and leaves nothing behind`(call: FaultScript.Call)
      async throws
    {
      for left in 0..<3 {
        let script = FaultScript()
        script.add(.fail(EMFILE), to: [call], times: 1, after: left)
        await script.run {
          #expect(await failure { try Runtime(Runtime.Configuration(workers: 4)) } == .tooManyDescriptors)
        }
      }
    }

    @Test func `a signal that can't be watched says why`() async throws {
      _ = try await under(.fail(EMFILE), to: [.uvSignalInit], times: 1) { _ in
        #expect(await failure { try await Signals.listen(to: .user2) } == .tooManyDescriptors)
        #expect(await failure { try await Signals.listen(to: .user2) } == nil)
      }
    }
  }
#endif
