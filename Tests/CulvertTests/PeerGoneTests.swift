// SPDX-License-Identifier: Apache-2.0
// Has the peer finished, or gone? Without reading, and without taking one for the other.
import CCulvert
import CulvertTesting
import Foundation
import Testing

@testable import Culvert

/// What goes wrong in a test, as an error that is not this library's.
private struct Own: Error {}

@Suite(.timeLimit(watchdog), .enabled(if: Platform.canWaitForPeerFinished, "only Linux tells"))
struct PeerGoneTests {
  enum Kind: CaseIterable { case tcp, unix }

  private func pair(_ kind: Kind) async throws -> (mine: StreamSocket, peer: StreamSocket) {
    if kind == .unix { return try UnixStream.pair() }
    let pair = try await TcpStream.loopbackPair()
    return (pair.server, pair.client)
  }

  /// Counts up when the stream has hung up.
  private func watch(_ stream: StreamSocket) throws -> (gone: Tally, task: Task<Void, any Error>) {
    let gone = Tally()
    let task = try #require(Runtime.current).spawn {
      try await stream.hungUp()
      gone.add()
    }
    return (gone, task)
  }

  @Test(arguments: Kind.allCases)
  func `a peer that half-closes has finished, and loses nothing`(kind: Kind) async throws {
    try await onOneWorker { worker in
      let (mine, peer) = try await pair(kind)
      let (gone, task) = try watch(mine)
      let finished = Tally()
      let other = try #require(Runtime.current).spawn {
        try await mine.peerFinished()
        finished.add()
      }
      try await peer.write("unread")
      await worker.idle()
      #expect(finished.value == 0)
      try peer.shutdown()
      try await other.value
      try await mine.peerFinished()  // and so it stays
      // It may still read; nothing spins meanwhile, or the worker would never be idle.
      await worker.idle()
      #expect(gone.value == 0)
      #expect(try await mine.readExactly(6) == Array("unread".utf8))
      try await mine.write("answer")
      #expect(try await peer.readExactly(6) == Array("answer".utf8))
      await worker.idle()
      #expect(gone.value == 0)
      // Both directions are down now.
      try mine.shutdown()
      try await task.value
      try await mine.hungUp()
      #expect(try await mine.read(upTo: 1) == nil)
    }
  }

  @Test(arguments: [false, true])
  func `hazard 12: while the buffer is full a half-close wakes no writer, and the write goes on`(closes: Bool)
    async throws
  {
    try await onOneWorker { worker in
      let clogged = try TcpStream.clogged()
      let (gone, task) = try watch(clogged.stream)
      let write = try #require(Runtime.current).spawn { try await clogged.stream.write("!") }
      await worker.idle()
      try clogged.peer.shutdown()
      try await clogged.stream.peerFinished()
      let before = worker.driver.turn
      await worker.idle()
      #expect(worker.driver.turn - before < 20 && gone.value == 0)
      if closes {
        clogged.peer.close()
        #expect([.brokenPipe, .connectionReset].contains(await failure { try await write.value }))
      } else {
        try await clogged.unclog()
        try await write.value
        clogged.peer.close()
      }
      try await task.value
    }
  }

  @Test func `a reset is a hang-up, and whoever reads still gets its error`() async throws {
    try await onOneWorker { worker in
      let (client, server) = try await TcpStream.loopbackPair()
      let (gone, task) = try watch(server)
      await worker.idle()
      #expect(gone.value == 0)
      client.reset()
      try await task.value
      #expect(await failure { try await server.read(upTo: 1) } == .connectionReset)
      try await server.hungUp()
      try await server.peerFinished()
    }
  }

  @Test(arguments: Kind.allCases)
  func `who waits to read and who waits for the end are both told`(kind: Kind) async throws {
    try await onOneWorker { worker in
      let (mine, peer) = try await pair(kind)
      let (_, task) = try watch(mine)
      let read = try #require(Runtime.current).spawn { await failure { try await mine.read(upTo: 1) } }
      let finished = try #require(Runtime.current).spawn { try await mine.peerFinished() }
      await worker.idle()
      if let peer = peer as? TcpStream { peer.reset() } else { peer.close() }
      try await task.value
      try await finished.value
      #expect(try await read.value == (kind == .tcp ? .connectionReset : nil))
    }
  }

  @Test func `a Unix peer that closes is gone at once, and what it sent is there to be read`() async throws {
    let (mine, peer) = try UnixStream.pair()
    try await peer.write("last words")
    peer.close()
    try await mine.hungUp()
    #expect(try await mine.readExactly(10) == Array("last words".utf8))
    #expect(try await mine.read(upTo: 100) == nil)
  }

  @Test func `cancelling and closing end the waiting`() async throws {
    try await onOneWorker { worker in
      let (mine, peer) = try UnixStream.pair()
      let runtime = try #require(Runtime.current)
      let (hungUp, finished) = (
        runtime.spawn { try await mine.hungUp() }, runtime.spawn { try await mine.peerFinished() }
      )
      await worker.idle()
      hungUp.cancel()
      finished.cancel()
      #expect(await failure { try await hungUp.value } == .cancelled)
      #expect(await failure { try await finished.value } == .cancelled)
      let (_, task) = try watch(mine)
      await worker.idle()
      mine.close()
      #expect(await failure { try await task.value } == .closed)
      #expect(await failure { try await mine.hungUp() } == .closed)
      peer.close()
    }
  }

  @Test func `hazard 41: urgent data is told, and while it stays unread nothing spins`() async throws {
    try await onOneWorker { worker in
      let (client, server) = try await TcpStream.loopbackPair()
      let (gone, task) = try watch(server)
      let urgent = try #require(Runtime.current).spawn { try await server.ready(for: .priority) }
      await worker.idle()
      #expect(unsafe send(client.fd, [1], 1, Int32(MSG_OOB)) == 1)
      #expect(try await urgent.value == .priority)
      let (turns, start) = (worker.driver.turn, MonotonicTime.now)
      try await sleep(for: .milliseconds(400))
      let milliseconds = (MonotonicTime.now - start) / 1_000_000
      #expect(worker.driver.turn - turns < 40 + milliseconds / 10 && gone.value == 0)
      client.reset()
      try await task.value
    }
  }

  // MARK: work that is cancelled

  @Test(arguments: Kind.allCases)
  func `work goes on while the peer is there, half-closed or not`(kind: Kind) async throws {
    try await onOneWorker { worker in
      let (mine, peer) = try await pair(kind)
      let gate = Gate()
      let task = try #require(Runtime.current).spawn {
        try await mine.withHangUpCancellation {
          try await gate.passed()
          return 7
        }
      }
      try await peer.write("unread")
      try peer.shutdown()
      await worker.idle()
      gate.open()
      #expect(try await task.value == 7)
      #expect(try await mine.readExactly(6) == Array("unread".utf8))
    }
  }

  @Test func `work is cancelled when the peer hangs up, and may return what it has`() async throws {
    let (mine, peer) = try UnixStream.pair()
    let begun = Tally()
    let cut = Task { () async throws -> Void in
      try await mine.withHangUpCancellation {
        begun.add()
        try await Gate().passed()
      }
    }
    let kept = Task { () async throws -> Int in
      try await mine.withHangUpCancellation {
        begun.add()
        await untilCancelled()
        return 8
      }
    }
    let own = Task { () async throws -> Void in
      try await mine.withHangUpCancellation {
        begun.add()
        await untilCancelled()
        throw Own()
      }
    }
    try await begun.reached(3)
    peer.close()
    #expect(await failure { try await cut.value } == .connectionReset)
    #expect(try await kept.value == 8)
    await #expect(throws: Own.self) { try await own.value }
  }

  @Test func `work that fails fails, and one that is cancelled says so`() async throws {
    try await onOneWorker { worker in
      let (mine, peer) = try UnixStream.pair()
      await #expect(throws: Own.self) { try await mine.withHangUpCancellation { throw Own() } }
      let task = try #require(Runtime.current).spawn {
        try await mine.withHangUpCancellation { try await Gate().passed() }
      }
      await worker.idle()
      task.cancel()
      #expect(await failure { try await task.value } == .cancelled)
      // The stream may be closed meanwhile: that ends the watch only.
      let value = try await mine.withHangUpCancellation {
        mine.close()
        await worker.idle()
        return 9
      }
      #expect(value == 9)
      peer.close()
    }
  }

  // MARK: real peers, and faults

  @Test(.enabled(if: isInstalled("/usr/bin/nc"), "there is no nc here"))
  func `nc -N, which half-closes, gets its answer`() async throws {
    let listener = try await TcpListener.bind("127.0.0.1:0")
    async let served: Void = listener.serve { stream in
      try await stream.withHangUpCancellation {
        try await stream.peerFinished()
        let question = try await stream.readAll()
        try await stream.write(question.reversed())
      }
    }
    let port = try #require(try listener.localAddress.port)
    #expect(try await output(of: "/usr/bin/nc", ["-N", "127.0.0.1", "\(port)"], input: "abc") == "cba")
    listener.close()
    try await served
  }

  #if FaultInjection
    @Test func `poll(2) that is interrupted is no matter, and one that fails is told`() async throws {
      let (mine, peer) = try UnixStream.pair()
      peer.close()
      let script = FaultScript()
      script.add(.fail(EINTR), to: [.poll], times: 5)
      try await script.run { try await mine.hungUp() }
      script.add(.fail(ENOMEM), to: [.poll], times: 1)
      #expect(await failure { try await script.run { try await mine.hungUp() } } == .outOfMemory)
    }
  #endif
}
