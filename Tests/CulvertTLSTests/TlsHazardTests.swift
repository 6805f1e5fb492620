// SPDX-License-Identifier: Apache-2.0
// The hazards of Tests/HAZARDS.md that TLS could bring back: cancellation, proxies, SIGPIPE; and what handshakes leave behind.
import CCulvert
import CulvertTesting
import Foundation
import Testing

@testable import Culvert
@testable import CulvertTLS

@Suite(.timeLimit(watchdog)) struct TlsHazardTests {
  /// Numbers that a seed gives, the same each time.
  private struct Dice {
    var state: UInt64
    mutating func roll(_ sides: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int((state >> 33) % UInt64(sides))
    }
  }

  /// What the streams carry: number n is the rest of n by 251. Cut from one array, for a debug build takes a lock of the
  /// Swift runtime for each step of a `map` over a range.
  private static func bytes(_ range: Range<Int>) -> [UInt8] {
    let start = range.lowerBound % 251
    return Array(all[start..<start + range.count])
  }

  private static let all: [UInt8] = {
    var all = (0..<251).map { UInt8($0) }
    while all.count < 600_000 { all += all }
    return all
  }()

  @Test(arguments: [TlsVersion.v12, .v13])
  func `over TLS, writes and reads that are cancelled at any moment lose no byte and send none twice`(
    version: TlsVersion
  ) async throws {
    let contexts = try Contexts(client: { $0.maximumVersion = version })
    try await onOneWorker { worker in
      let (client, server) = try await contexts.tcpPair()
      let count = rounds(ci: 200, stress: 20_000)
      let sent = Notes<Int>()
      let writing = Task.onWorker(worker) {
        var (dice, position) = (Dice(state: 7), 0)
        for _ in 0..<count {
          let size = dice.roll(4) == 0 ? dice.roll(300_000) : dice.roll(2_000)
          let bytes = Self.bytes(position..<position + size)
          let write = Task.onWorker(worker) { () -> Int in
            do {
              try await client.write(bytes)
              return size
            } catch let error as IoError {
              #expect(error.code == .cancelled, "\(error)")
              return error.bytesWritten
            }
          }
          for _ in 0..<dice.roll(6) { await Task.yield() }
          if dice.roll(2) == 0 { write.cancel() }
          position += try await write.value
        }
        sent.add(position)
        try await client.shutdown()
      }
      var (dice, position, hasEnded) = (Dice(state: 8), 0, false)
      while !hasEnded {
        let room = dice.roll(70_000) + 1
        let read = Task.onWorker(worker) { () -> [UInt8]? in
          do { return try await server.read(upTo: room) } catch let error as IoError {
            #expect(error.code == .cancelled, "\(error)")
            return []
          }
        }
        for _ in 0..<dice.roll(4) { await Task.yield() }
        if dice.roll(3) == 0 { read.cancel() }
        guard let some = try await read.value else {
          hasEnded = true
          continue
        }
        let expected = Self.bytes(position..<position + some.count)
        try #require(some == expected, "after \(position) bytes")
        position += some.count
      }
      try await writing.value
      #expect(sent.all == [position])
    }
  }

  @Test func `through a proxy with TLS on one side all arrives both ways, whoever ends first`() async throws {
    let contexts = try Contexts()
    try await onOneWorker { _ in
      for firstIsClient in [true, false] {
        let (client, inner) = try await contexts.tcpPair()
        let (outer, server) = try await TcpStream.loopbackPair()
        async let copied = copyBidirectional(inner, outer)
        let bytes = Self.bytes(0..<500_000)
        async let first: Void = {
          if firstIsClient {
            try await client.write(bytes)
            try await client.shutdown()
          } else {
            try await server.write(bytes)
            try server.shutdown()
          }
        }()
        let received = firstIsClient ? try await all(of: server) : try await all(of: client)
        #expect(received == bytes)
        if firstIsClient {
          try await server.write("goodbye")
          try server.shutdown()
        } else {
          try await client.write("goodbye")
          try await client.shutdown()
        }
        let answer = firstIsClient ? try await all(of: client) : try await all(of: server)
        #expect(answer == Array("goodbye".utf8))
        try await first
        #expect(try await copied.toFar + copied.toNear == bytes.count + 7)
      }
    }
  }

  @Test func `a proxy passes no end on that was none`() async throws {
    let contexts = try Contexts()
    try await onOneWorker { _ in
      let (client, inner) = try await contexts.tcpPair()
      let (outer, server) = try await TcpStream.loopbackPair()
      async let copied = failure { try await copyBidirectional(inner, outer) }
      try await client.write("cut off he")
      #expect(try await BufferedReader(server).readExactly(10) == Array("cut off he".utf8))
      try client.base.shutdown()
      #expect(try await copied.code == .unexpectedEnd)
    }
  }

  private func all(of reader: any ByteReader) async throws -> [UInt8] {
    var bytes: [UInt8] = []
    while let some = try await reader.read(upTo: 65_536) { bytes += some }
    return bytes
  }

  @Test func `a connection that is idle holds no memory of what it has carried`() async throws {
    let contexts = try Contexts()
    try await onOneWorker { _ in
      let (client, server) = try await contexts.tcpPair()
      let bytes = Self.bytes(0..<300_000)
      async let written: Void = {
        try await client.write(bytes)
        try await client.shutdown()
      }()
      #expect(try await all(of: server) == bytes)
      try await written
      // 2 KiB each for what comes, what is made and what is being sent.
      for stream in [client, server] { #expect(stream.engine.withLock { $0.heldBytes } <= 3 * 2048) }
    }
  }

  @Test func `over TLS, a peer that is gone is an error, and never SIGPIPE`() async {
    await #expect(processExitsWith: .success) {
      signal(SIGPIPE, nil)
      let contexts = try Contexts()
      try await onOneWorker { _ in
        for isReset in [true, false] {
          let (client, server) = try await contexts.tcpPair()
          if isReset { server.base.reset() } else { server.base.close() }
          for _ in 0..<3 {
            let error = try await failure { while true { try await client.write("anybody there?") } }
            #expect(error.code == .brokenPipe || error.code == .connectionReset, "\(error)")
          }
          client.close()
        }
      }
    }
  }

  #if os(Linux)
    @Test func `10,000 handshakes leave no descriptor and no memory behind`() async {
      await #expect(processExitsWith: .success) {
        let contexts = try Contexts()
        try await onOneWorker { worker in
          func shakeHands(_ count: Int) async throws {
            var session: TlsSession?
            for round in 0..<count {
              let (client, server) = try await contexts.tcpPair(session: session)
              try await server.write("hello")
              #expect(try await client.read(upTo: 100) == Array("hello".utf8))
              session = round % 3 == 0 ? client.session : nil
              if round % 2 == 0 { await client.closed() }
            }
            // One that fails, now and then.
            let (near, far) = try await TcpStream.loopbackPair()
            let failed = await contexts.outcomes(over: near, far, host: "elsewhere.example").client
            #expect(failed.failure?.code == .certificateRejected)
            await worker.idle()
          }
          try await shakeHands(200)
          let (before, memory) = (try descriptorCount(), try residentBytes())
          let count = rounds(ci: 1_000, stress: 10_000)
          try await shakeHands(count)
          #expect(abs(try descriptorCount() - before) <= 2)
          let growth = try residentBytes() - memory
          // A leaked connection would be some 20 kB. A sanitizer keeps what is freed, and looks for leaks itself.
          #expect(growth < count * 1000 || isSanitized, "\(count) handshakes left \(growth) bytes")
        }
      }
    }
  #endif

  #if FaultInjection
    @Test func `transfers of single bytes, interruptions and full buffers are not noticed over TLS`()
      async throws
    {
      let contexts = try Contexts()
      try await onOneWorker { _ in
        let script = FaultScript(seed: 3)
        script.add(.atMost(1), to: [.send], chance: 0.3)
        script.add(.atMost(3), to: [.receive], chance: 0.5)
        script.add(.fail(EINTR), to: [.send, .receive], chance: 0.2)
        script.add(.fail(EAGAIN), to: [.send, .receive], times: 500, chance: 0.2)
        try await script.run {
          let (client, server) = try await contexts.tcpPair()
          let bytes = Self.bytes(0..<200_000)
          async let written: Void = {
            // Many records, and so many calls.
            for start in stride(from: 0, to: bytes.count, by: 500) {
              try await client.write(Array(bytes[start..<start + 500]))
            }
            try await client.shutdown()
          }()
          #expect(try await all(of: server) == bytes)
          try await written
        }
        #expect(script.injected.values.reduce(0, +) > 100)
      }
    }

    @Test(arguments: [FaultScript.Call.send, .receive])
    func `a connection that breaks at any call of the handshake is an error that says so`(
      call: FaultScript.Call
    )
      async throws
    {
      let contexts = try Contexts()
      try await onOneWorker { _ in
        var hasSucceeded = false
        for after in 0..<20 where !hasSucceeded {
          let (near, far) = try await TcpStream.loopbackPair()
          let script = FaultScript()
          script.add(.fail(ECONNRESET), to: [call], times: 1, after: after)
          async let served = failureOrNone { try await TlsStream.server(over: far, context: contexts.server) }
          let error = await script.run {
            await failureOrNone {
              try await TlsStream.client(over: near, host: "localhost", context: contexts.client)
            }
          }
          if let error {
            #expect(error.code == .connectionReset)
            // Its peer is gone, of which a write may tell as well as a read.
            if let code = await served?.code {
              #expect([.unexpectedEnd, .connectionReset, .brokenPipe].contains(code))
            }
          } else {
            hasSucceeded = true
            _ = await served
          }
        }
        #expect(hasSucceeded)
      }
    }

    private func failureOrNone<R>(_ body: () async throws -> R) async -> IoError? {
      do {
        _ = try await body()
        return nil
      } catch {
        return error as? IoError ?? IoError(.other, during: "\(error)")
      }
    }
  #endif
}

#if os(Linux)
  /// What this process has in memory, without what malloc could give back.
  private func residentBytes() throws -> Int {
    typealias Trim = @convention(c) (Int) -> Int32
    if let trim = unsafe dlsym(nil, "malloc_trim") { _ = unsafe unsafeBitCast(trim, to: Trim.self)(0) }
    let pages = try String(contentsOfFile: "/proc/self/statm", encoding: .utf8).split(separator: " ")
    return (Int(pages[1]) ?? 0) * 4096
  }

  /// How many descriptors this process has open.
  private func descriptorCount() throws -> Int {
    try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count
  }

  /// Whether the allocator is that of a sanitizer.
  private var isSanitized: Bool {
    ["__asan_init", "__tsan_init"].contains { (name: String) in unsafe dlsym(nil, name) != nil }
  }
#endif
