// SPDX-License-Identifier: Apache-2.0
// The pool by itself: every suspended socket gets an answer, whatever comes first.

import Culvert
import CulvertTesting
import FlyingFoxCulvert
import FlyingSocks
import Foundation
import Testing

@Suite(.timeLimit(.minutes(1))) struct `A pool of sockets on Culvert` {
  /// Two sockets that are connected; the test closes them.
  private func pair() throws -> (Socket, Socket) {
    var numbers: [Int32] = [0, 0]
    let outcome = unsafe socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | O_NONBLOCK, 0, &numbers)
    try #require(outcome == 0)
    return (
      Socket(file: Socket.FileDescriptor(rawValue: numbers[0])),
      Socket(file: Socket.FileDescriptor(rawValue: numbers[1]))
    )
  }

  /// A pool that runs on the one worker of a runtime; `run` is the task that does.
  private func withPool(
    _ body:
      @escaping @concurrent @Sendable (CulvertSocketPool, _ run: Task<Void, any Error>, Runtime)
      async throws -> Void
  ) async throws {
    try await withRuntime(workers: 1) { runtime in
      let pool = CulvertSocketPool(on: runtime)
      try pool.prepare()
      let run = runtime.spawn { try await pool.run() }
      try await body(pool, run, runtime)
      run.cancel()
      _ = await run.result
    }
  }

  @Test func `a wait ends when its direction is ready, and not when the other is`() async throws {
    try await withPool { pool, _, runtime in
      let (one, other) = try pair()
      defer { close(one, other) }
      try await pool.suspendSocket(one, untilReadyFor: .write)
      let answered = Tally()
      let reading = runtime.spawn {
        try await pool.suspendSocket(one, untilReadyFor: .read)
        answered.add()
      }
      await runtime.workers[0].idle()
      try await pool.suspendSocket(one, untilReadyFor: .write)
      await runtime.workers[0].idle()
      #expect(answered.value == 0)
      _ = try other.write(Data("x".utf8), from: 0)
      try await reading.value
      // What was not read is still there to be told of.
      try await pool.suspendSocket(one, untilReadyFor: .read)
    }
  }

  @Test func `all who wait for a socket are woken, and the peer's end wakes them, too`() async throws {
    try await withPool { pool, _, runtime in
      let (one, other) = try pair()
      let waits = (1...3).map { _ in
        runtime.spawn { try await pool.suspendSocket(one, untilReadyFor: .read) }
      }
      await runtime.workers[0].idle()
      try other.close()
      for wait in waits { try await wait.value }
      try one.close()
    }
  }

  @Test func `a cancelled wait ends, before it began and while it waits, and others go on`() async throws {
    try await withPool { pool, _, runtime in
      let (one, other) = try pair()
      defer { close(one, other) }
      let gate = Gate()
      let early = runtime.spawn {
        try? await gate.passed()
        try await pool.suspendSocket(one, untilReadyFor: .read)
      }
      early.cancel()
      let late = runtime.spawn { try await pool.suspendSocket(one, untilReadyFor: .read) }
      let stays = runtime.spawn { try await pool.suspendSocket(one, untilReadyFor: .read) }
      await runtime.workers[0].idle()
      late.cancel()
      await #expect(throws: CancellationError.self) { try await early.value }
      await #expect(throws: CancellationError.self) { try await late.value }
      _ = try other.write(Data("x".utf8), from: 0)
      try await stays.value
    }
  }

  @Test func `when the pool ends whoever waits is told, and whoever comes`() async throws {
    try await withPool { pool, run, runtime in
      let (one, other) = try pair()
      defer { close(one, other) }
      let waits = (1...50).map { _ in
        runtime.spawn { try await pool.suspendSocket(one, untilReadyFor: .read) }
      }
      await runtime.workers[0].idle()
      run.cancel()
      for wait in waits { await #expect(throws: CancellationError.self) { try await wait.value } }
      await #expect(throws: CancellationError.self) { try await run.value }
      await #expect(throws: IoError.self) { try await pool.suspendSocket(one, untilReadyFor: .read) }
    }
  }

  @Test func `when the runtime ends under it, too`() async throws {
    let runtime = try Runtime(Runtime.Configuration(workers: 1))
    let pool = CulvertSocketPool(on: runtime)
    try pool.prepare()
    let run = Task { try await pool.run() }
    let (one, other) = try pair()
    let wait = runtime.spawn { try await pool.suspendSocket(one, untilReadyFor: .read) }
    await runtime.workers[0].idle()
    await runtime.shutDown()
    await #expect(throws: CancellationError.self) { try await wait.value }
    await #expect(throws: IoError.self) { try await run.value }
    close(one, other)
  }

  @Test func `a pool can be run again`() async throws {
    try await withRuntime(workers: 1) { runtime in
      let pool = CulvertSocketPool(on: runtime)
      let (one, other) = try pair()
      for _ in 1...3 {
        try pool.prepare()
        let run = runtime.spawn { try await pool.run() }
        try await pool.suspendSocket(one, untilReadyFor: .write)
        run.cancel()
        _ = await run.result
      }
      close(one, other)
    }
  }

  @Test func `who waits for a socket that was closed is told when its number is another's`() async throws {
    try await withPool { pool, _, runtime in
      let (one, other) = try pair()
      let stale = runtime.spawn { try await pool.suspendSocket(one, untilReadyFor: .read) }
      await runtime.workers[0].idle()
      // The number stays the same, and is another socket's at once.
      let (fresh, peer) = try pair()
      try #require(dup2(fresh.file.rawValue, one.file.rawValue) == one.file.rawValue)
      let next = runtime.spawn { try await pool.suspendSocket(one, untilReadyFor: .read) }
      await #expect(throws: SocketError.disconnected) { try await stale.value }
      _ = try peer.write(Data("x".utf8), from: 0)
      try await next.value
      close(one, other)
      close(fresh, peer)
    }
  }

  @Test func `a pool that is not prepared, or runs, is not run`() async throws {
    try await withPool { pool, _, runtime in
      await runtime.workers[0].idle()
      try pool.prepare()
      await #expect(throws: IoError.self) { try await pool.run() }
      await #expect(throws: IoError.self) { try await CulvertSocketPool(on: runtime).run() }
    }
  }

  @Test func `who can't write for too long is told`() async throws {
    try await withRuntime(workers: 1) { runtime in
      let pool = CulvertSocketPool(on: runtime, writeLimit: .milliseconds(40))
      try pool.prepare()
      let run = runtime.spawn { try await pool.run() }
      let (one, other) = try pair()
      let block = Data(repeating: 0, count: 65536)
      while (try? one.write(block, from: 0)) != nil {}
      let reading = runtime.spawn { try await pool.suspendSocket(other, untilReadyFor: .read) }
      try await reading.value
      let patient = runtime.spawn { try await pool.suspendSocket(one, untilReadyFor: .read) }
      do {
        try await pool.suspendSocket(one, untilReadyFor: .write)
        Issue.record("it is full")
      } catch SocketError.timeout {
      }
      patient.cancel()
      run.cancel()
      _ = (await patient.result, await run.result)
      close(one, other)
    }
  }

  @Test func `what can't be watched is an error`() async throws {
    try await withPool { pool, _, _ in
      for number in [Int32(-1), 1_000_000] {
        let socket = Socket(file: Socket.FileDescriptor(rawValue: number))
        await #expect(throws: (any Error).self) { try await pool.suspendSocket(socket, untilReadyFor: .read) }
      }
    }
  }

  private func close(_ sockets: Socket...) {
    for socket in sockets { try? socket.close() }
  }
}
