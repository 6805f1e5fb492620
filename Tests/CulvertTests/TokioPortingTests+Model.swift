// SPDX-License-Identifier: Apache-2.0
// ComingFromTokio.md: runtimes, tasks, time, and the reading and writing of streams.

import Culvert
import CulvertTesting
import Foundation
import Testing

extension TokioPortingTests {
  @Test func `a runtime is set up, spawns and ends`() async throws {
    var configuration = Runtime.Configuration(workers: 2)
    configuration.thread.name = "server"
    configuration.limits.callsPerJob = 128
    configuration.limits.shutDownGrace = .seconds(2)
    try await withRuntime(configuration) { runtime in
      #expect(Runtime.current === runtime)
      let task = runtime.spawn { try await sleep(for: .seconds(3600)) }
      task.cancel()
      await #expect(throws: IoError.self) { try await task.value }
      let pinned = runtime.spawn(on: runtime.workers[1]) { Worker.current?.index }
      #expect(try await pinned.value == 1)
      await Task.yield()
      let deadline = ContinuousClock.now
      try await sleep(until: deadline)
      let answer = try? await withDeadline(deadline) {
        try await sleep(for: .seconds(5))
        return 7
      }
      #expect(answer == nil)
      let files = BlockingPool(threads: 4, waiting: 100)
      let isElsewhere = try await offload { Worker.current == nil }
      let number = try await offload(on: files) { 7 }
      #expect(isElsewhere && number == 7)
      #expect(Interval(every: .seconds(1)).missedTicks == Interval.MissedTicks.skip)
      for try await number in Interval(every: .seconds(60), missedTicks: Interval.MissedTicks.catchUp) {
        #expect(number == 0)
        break
      }
      for try await number in Interval(every: .milliseconds(1), missedTicks: .delay) {
        if number == 2 { break }
      }
      #expect(runtime.dump().contains("worker 1"))
      #expect(runtime.metrics.count == 2)
      async let _: Void = runtime.watchStalls(of: .seconds(1)) { stall in print(stall) }
      await runtime.shutDown()
    }
  }

  @Test func `a synchronous main blocks on a runtime`() async throws {
    let answer = try await onThreadOfItsOwn {
      try Runtime.blockOn { runtime in runtime.workers.count }
    }
    #expect(answer == 1)
  }

  @Test func `a task group is a JoinSet, and may spread over the workers`() async throws {
    try await withRuntime { runtime in
      let listener = try await TcpListener.bind("127.0.0.1:0")
      async let served: Void = listener.serve { stream in
        while let chunk = try await stream.read(upTo: 4096) { try await stream.write(chunk) }
      }
      let address = try listener.localAddress
      let answers = try await withThrowingTaskGroup(of: Bool.self) { group in
        for _ in 0..<3 {
          group.addTask(executorPreference: runtime.nextInTurn) {
            let stream = try await TcpStream.connect(to: address)
            try await stream.write("!")
            return try await stream.read(upTo: 4096) == Array("!".utf8)
          }
        }
        return try await group.reduce(into: []) { $0.append($1) }
      }
      #expect(answers == [true, true, true])
      await listener.closed()
      try await served
    }
  }

  @Test func `a server drains`() async throws {
    try await withRuntime(workers: 1) { runtime in
      let listener = try await TcpListener.bind("127.0.0.1:0")
      let server = listener.server(grace: .seconds(10)) { stream, server in
        while try await server.waitForRequest(on: stream), let chunk = try await stream.read(upTo: 4096) {
          try await stream.write(chunk)
        }
      }
      async let report = server.run()
      let stream = try await TcpStream.connect(to: listener.localAddress)
      try await stream.write("!")
      #expect(try await stream.read(upTo: 4096) == Array("!".utf8))
      server.drain()
      #expect(try await stream.read(upTo: 4096) == nil)
      #expect(try await report.cut == 0)
    }
  }

  /// Not run: it would take the test process's signals.
  private func run(_ server: Server, in runtime: Runtime) async throws {
    let signals = try await Signals.listen(to: .interrupt, .terminate)
    try await runtime.run(server, until: signals)
  }

  @Test func `of two streams the first that is readable wins`() async throws {
    try await withRuntime(workers: 1) { _ in
      let (left, silent) = try UnixStream.pair()
      defer { silent.close() }  // kept until then: dropped, it would be the end of `left`'s stream
      let (right, peer) = try UnixStream.pair()
      try await peer.write("hello")
      var buffer = [UInt8](repeating: 0, count: 16)
      let winner = try await withThrowingTaskGroup(of: UnixStream.self) { group in
        for stream in [left, right] {
          group.addTask {
            try await stream.readable()
            return stream
          }
        }
        defer { group.cancelAll() }
        return try await group.next()
      }
      let count = try winner?.tryRead(into: &buffer)
      #expect(count == 5 && winner === right)
    }
  }

  @Test func `a child task that sleeps is a timeout`() async throws {
    try await withRuntime(workers: 1) { _ in
      let (stream, peer) = try UnixStream.pair()
      try await peer.write("hello")
      let reply = try await withTimeout(.seconds(5)) { try await stream.read(upTo: 4096) }
      #expect(reply?.isEmpty == false)
    }
  }

  @Test func `copying is there, between any two streams`() async throws {
    try await withRuntime(workers: 1) { _ in
      let ((client, near), (far, server)) = (try UnixStream.pair(), try UnixStream.pair())
      for end in [client, server] {
        try await end.write("hello")
        try end.shutdown()
      }
      let (sent, received) = try await copyBidirectional(near, far)
      #expect(sent == 5 && received == 5)
      near.close()
      let (upload, (file, disk)) = (client, try UnixStream.pair())
      #expect(try await copy(from: upload, to: file) == 5)
      #expect(try await disk.readExactly(5) == Array("hello".utf8))
    }
  }

  @Test func `reading and writing are there under other names`() async throws {
    try await withRuntime(workers: 1) { _ in
      let (stream, peer) = try await TcpStream.loopbackPair()
      let bytes = Array("hello".utf8)
      try await stream.write(bytes)
      try await stream.write("hello")
      try await stream.write(vectored: [bytes, bytes])
      let writer = BufferedWriter(stream)
      try await writer.write("!!\n")
      try await writer.flush()
      try await stream.writeFrame(bytes, .lengthPrefixed())
      try await stream.writeFrame(bytes, .delimited(by: [0]))
      try stream.shutdown()
      try await peer.write("first\nsecond\n")
      try peer.shutdown()

      stream.readTimeout = .seconds(30)
      stream.writeTimeout = nil
      _ = DuplexStream.pair(capacity: 1024)
      let reader = BufferedReader(peer)
      #expect(try await reader.readExactly(8) == Array("hellohel".utf8))
      #expect(try await reader.peek(4) == Array("lohe".utf8))
      #expect(try await reader.readUntil(0x0A)?.count == 15)
      #expect(try await reader.readFrame(.lengthPrefixed()) == bytes)
      #expect(try await reader.readToEnd(limit: 65_536) == bytes + [0])

      let lines = BufferedReader(stream, maximumLength: 4096)
      #expect(try await lines.readLine() == "first")
      while let line = try await lines.readLine() { #expect(line == "second") }
      let size = try await stream.withChunk { chunk in chunk.byteCount }
      #expect(size == nil)
    }
  }

  @Test func `reads give a count, and 0 at the end`() async throws {
    try await withRuntime(workers: 1) { _ in
      let (stream, peer) = try await TcpStream.loopbackPair()
      var buffer = [UInt8](repeating: 0, count: 16)
      try await peer.write("hello")
      #expect(try await stream.read(into: &buffer) == 5)
      peer.close()
      #expect(try await stream.read(into: &buffer) == 0)
    }
  }

  /// Not run: it would take the test process's input and signals.
  private func processWide() async throws {
    let input = try StandardInput.open()
    let signals = try await Signals.listen(to: .interrupt, .terminate)
    for await signal in signals {
      print(signal, input.isTerminal)
      break
    }
  }

  @Test func `errors are one type, with a code to compare`() async {
    do throws(IoError) {
      _ = try await TcpStream.connect(to: "127.0.0.1:1")
    } catch {
      #expect(error.code == .connectionRefused && error.errno == ECONNREFUSED)
      let others: [IoError.Code] = [.cancelled, .closed, .timedOut, .shutDown]
      #expect(!others.contains(error.code))
    }
  }
}
