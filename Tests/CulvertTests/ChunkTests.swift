// SPDX-License-Identifier: Apache-2.0
// Reading through the worker's own memory.
import CulvertTesting
import Testing

@testable import Culvert

@Suite(.timeLimit(watchdog)) struct ChunkTests {
  @Test(arguments: Place.allCases)
  func `chunks are what was written, and then comes the end`(place: Place) async throws {
    try await place.run {
      let (client, server) = try await TcpStream.loopbackPair()
      let bytes = countingBytes(300_000)
      async let written: Void = {
        try await client.write(bytes)
        try client.shutdown()
      }()
      var all: [UInt8] = []
      while let chunk = try await server.withChunk({ unsafe $0.withUnsafeBytes { unsafe Array($0) } }) {
        #expect(!chunk.isEmpty && chunk.count <= 65_536)
        all += chunk
      }
      try await written
      #expect(isSame(all, bytes))
      #expect(try await server.withChunk { $0.byteCount } == nil)
    }
  }

  @Test func `what the body throws is thrown, and the chunk is taken`() async throws {
    struct Refused: Error {}
    try await withRuntime(workers: 1) { _ in
      let (client, server) = try await TcpStream.loopbackPair()
      try await client.write("a")
      await #expect(throws: Refused.self) { try await server.withChunk { _ in throw Refused() } }
      try await client.write("b")
      #expect(try await server.withChunk { $0.byteCount } == 1)
      client.reset()
      #expect(await failure { try await server.withChunk { $0.byteCount } } == .connectionReset)
    }
  }

  @Test func `all tasks of a worker read into the same memory, and no wait holds it`() async throws {
    try await onOneWorker { worker in
      let pairs = [try UnixStream.pair(), try UnixStream.pair()]
      let addresses = try await withThrowingTaskGroup(of: UInt?.self) { group in
        for (_, far) in pairs {
          group.addTask {
            try await far.withChunk { unsafe $0.withUnsafeBytes { UInt(bitPattern: $0.baseAddress) } }
          }
        }
        await worker.idle()
        for (near, _) in pairs { try await near.write("x") }
        return try await group.reduce(into: Set()) { $0.insert($1) }
      }
      #expect(addresses.count == 1)
    }
  }

  @Test func `a child of a task that reads chunks waits at the same stream, and is cancelled by itself`()
    async throws
  {
    try await withRuntime(workers: 1) { runtime in
      let (worker, first) = (runtime.workers[0], Tally())
      let (client, server) = try await TcpStream.loopbackPair()
      let reader = runtime.spawn(on: worker) {
        // From here on the stream knows this task.
        let before = try await server.withChunk { $0.byteCount }
        first.add()
        let child = await withTaskGroup(of: IoError.Code?.self) { group in
          group.addTask { await failure { try await server.withChunk { $0.byteCount } } }
          await worker.idle()
          group.cancelAll()
          return await group.next() ?? nil
        }
        return (before, child, try await server.withChunk { $0.byteCount })
      }
      await worker.idle()
      try await client.write("a")
      try await first.reached(1)
      await worker.idle()
      try await client.write("b")
      let (before, child, after) = try await reader.value
      #expect(before == 1 && child == .cancelled && after == 1)
    }
  }

  @Test func `a wait for a chunk that is cancelled takes nothing`() async throws {
    try await withRuntime(workers: 1) { runtime in
      let (client, server) = try await TcpStream.loopbackPair()
      let reader = runtime.spawn { try await server.withChunk { $0.byteCount } }
      await runtime.workers[0].idle()
      reader.cancel()
      #expect(await failure { try await reader.value } == .cancelled)
      try await client.write("a")
      #expect(try await server.withChunk { $0.byteCount } == 1)
    }
  }

  @Test func `when its worker ends who waits for a chunk is told so, and again at the next wait`()
    async throws
  {
    let (task, peer) = try await withRuntime(workers: 1) { runtime in
      let (client, server) = try await TcpStream.loopbackPair()
      let task = runtime.spawn {
        let first = await failure { try await server.withChunk { $0.byteCount } }
        return [first, await failure { try await server.withChunk { $0.byteCount } }]
      }
      await runtime.workers[0].idle()
      return (task, client)
    }
    #expect(try await task.value == [.shutDown, .shutDown])
    peer.close()
  }
}
