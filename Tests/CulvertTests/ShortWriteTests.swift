// SPDX-License-Identifier: Apache-2.0
// A write that can go out at once does, without a lock and without being an async function: by a worker's task, by its
// child, by other threads, and when the worker has ended.
import CCulvert
import CulvertTesting
import Foundation
import Testing

@testable import Culvert

enum Caller: CaseIterable, Sendable {
  case task, childTask, otherThread

  func run(on runtime: Runtime, _ body: @escaping @Sendable () async throws -> Void) async throws {
    switch self {
    case .task: try await runtime.spawn(body).value
    case .childTask:
      try await runtime.spawn {
        async let child: Void = body()
        try await child
      }.value
    case .otherThread: try await Task.detached { try await body() }.value
    }
  }
}

@Suite(.timeLimit(watchdog)) struct ShortWriteTests {
  private func expect(_ count: Int, at reader: TcpStream) async throws {
    let buffered = BufferedReader(reader, maximumLength: count)
    let bytes = try await buffered.readExactly(count)
    // Elements one by one would take a debug build seconds.
    let isEqual = Data(bytes) == Data(countingBytes(count))
    #expect(isEqual)
  }

  @Test(arguments: Caller.allCases)
  func `whoever writes, on whatever thread, it arrives whole and in order`(caller: Caller) async throws {
    try await withRuntime(workers: 1) { runtime in
      let (client, server) = try await TcpStream.loopbackPair()
      let bytes = countingBytes(1000)
      try await caller.run(on: runtime) {
        for start in stride(from: 0, to: 1000, by: 10) { try await client.write(bytes[start..<start + 10]) }
      }
      try await expect(1000, at: server)
    }
  }

  @Test(arguments: Caller.allCases)
  func `a write that is more than there is room for goes on when there is`(caller: Caller) async throws {
    try await withRuntime(workers: 1) { runtime in
      let (client, server) = try await TcpStream.loopbackPair()
      let count = isSanitized ? 2 << 20 : 16 << 20
      let writer = Task {
        try await caller.run(on: runtime) {
          try await client.write(countingBytes(count))
        }
      }
      try await expect(count, at: server)
      try await writer.value
    }
  }

  // From other threads no write goes the short way.
  @Test(arguments: [Caller.task, .childTask])
  func `a write that could go out at once waits for its turn all the same`(caller: Caller) async throws {
    try await withRuntime(workers: 1) { runtime in
      let (client, server) = try await TcpStream.loopbackPair()
      let isTaken = client.writeTurn.tryTake()
      #expect(isTaken)
      let writer = Task { try await caller.run(on: runtime) { try await client.write([0]) } }
      await runtime.workers[0].idle { client.writeTurn.isAwaited }
      var buffer: [UInt8] = [0]
      #expect(try server.tryRead(into: &buffer) == nil)
      client.writeTurn.give()
      try await writer.value
      try await expect(1, at: server)
    }
  }

  @Test(.disabled(if: isChaotic, aTryMayBlock), arguments: Caller.allCases)
  func `after the worker's end, and after a close, a write does as it says`(caller: Caller) async throws {
    let (client, server) = try await withRuntime(workers: 1) { runtime in
      let (client, server) = try await TcpStream.loopbackPair()
      async let byte = client.read(upTo: 1)
      await runtime.workers[0].idle()
      try await server.write([7])
      _ = try await byte
      return (client, server)
    }
    try await withRuntime(workers: 1) { runtime in
      try await caller.run(on: runtime) { try await client.write([0]) }
      try await expect(1, at: server)
      client.close()
      let code = Locked<IoError.Code?>(nil)
      try await caller.run(on: runtime) {
        let failure = await failure { try await client.write([0]) }
        code.withLock { $0 = failure }
      }
      #expect(code.withLock { $0 } == .closed)
    }
  }

  @Test func `writes that never wait give way to others, and notice that they are cancelled`() async throws {
    var limits = Limits()
    limits.callsPerJob = 10
    try await onOneWorker(limits: limits) { worker in
      let (client, server) = try await TcpStream.loopbackPair()
      let others = Tally()
      let writing = Task(executorPreference: worker) {
        for _ in 0..<100 { try await client.write([0]) }
        return others.value
      }
      let other = Task(executorPreference: worker) { for _ in 0..<5 { others.add(); await Task.yield() } }
      #expect(try await writing.value == 5)
      await other.value
      let endless = Task(executorPreference: worker) { while true { try await client.write([0]) } }
      async let drained: Void = { while try await server.read(upTo: 4096) != nil {} }()
      endless.cancel()
      #expect(await failure { try await endless.value } == .cancelled)
      client.close()
      _ = try? await drained
    }
  }
}
