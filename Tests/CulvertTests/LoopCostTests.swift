// SPDX-License-Identifier: Apache-2.0
// What the loop is not asked for, and what does not keep it from its turn.
import CCulvert
import CulvertTesting
import Testing

@testable import Culvert

@Suite(.timeLimit(watchdog)) struct LoopCostTests {
  @Test func `a sleep costs a few turns of the loop, also a part of a millisecond`() async throws {
    try await onOneWorker { worker in
      let before = worker.driver.turn
      for _ in 0..<20 { try await sleep(for: .microseconds(900)) }
      #expect(worker.driver.turn - before <= 200)
    }
  }

  @Test(.disabled(if: isChaotic, aTryMayBlock))
  func `a read that would block leaves the other direction as it was`() async throws {
    try await onOneWorker { worker in
      let (mine, theirs) = try socketPair()
      defer { close(theirs) }
      let bridge = try BridgedFd(adopting: mine)
      async let byte = bridge.asyncCall(.readable, readByte)
      await worker.idle()
      #expect(try await bridge.asyncCall(.writable) { (fd) throws(IoError) in writeByte(fd) })
      #expect(worker.driver.armings == 1)
      #expect(writeByte(theirs, 2))
      #expect(try await byte == 2)
    }
  }

  @Test func `a socket is served beside a task that never waits`() async throws {
    try await onOneWorker { worker in
      let (mine, theirs) = try socketPair()
      defer { close(theirs) }
      let bridge = try BridgedFd(adopting: mine)
      try await Task(executorPreference: worker) {
        let busy = Task(executorPreference: worker) { while !Task.isCancelled { await Task.yield() } }
        #expect(writeByte(theirs, 3))
        // As after a would-block: only the loop can tell now.
        bridge.clearReadiness(.readable)
        let byte = try await bridge.asyncCall(.readable, readByte)
        #expect(byte == 3)
        busy.cancel()
      }.value
    }
  }

  @Test func `a sleep ends beside a task that never waits`() async throws {
    try await onOneWorker { worker in
      try await Task(executorPreference: worker) {
        let busy = Task(executorPreference: worker) { while !Task.isCancelled { await Task.yield() } }
        // The loop's timer counts whole milliseconds, and may find that it fired too soon.
        for _ in 0..<20 { try await sleep(for: .milliseconds(1)) }
        busy.cancel()
      }.value
    }
  }

  @Test func `a timer ends the poll if it is earlier than all others, and only then`() async throws {
    try await onOneWorker { worker in
      let rings = Tally()
      let queue = TimerQueue { rings.add() }
      await withDiscardingTaskGroup { group in
        for (deadline, count) in [(100, 1), (200, 1), (50, 2), (50, 2), (10, 3)] as [(UInt64, Int)] {
          group.addTask { _ = await queue.wait(for: deadline) }
          await worker.idle()
          #expect(rings.value == count)
        }
        queue.close()
      }
    }
  }

  @Test(.enabled(if: descriptorLimit > 8_000, "needs 8,000 descriptors"))
  func `of many sockets that are ready at once the first are read before the poll is over`() async throws {
    try await onOneWorker { worker in
      let pairs = try (0..<1_100).map { _ in try socketPair() }
      let (mine, theirs) = try socketPair()
      defer { for fd in pairs.map(\.1) + [theirs] { close(fd) } }
      /// Reads a byte, writes one to `next` if there is such, and says in which turn that was.
      let reader = { (fd: Int32, next: Int32?) in
        let bridge = try BridgedFd(adopting: fd)
        return Task(executorPreference: worker) {
          _ = try await bridge.asyncCall(.readable, readByte)
          if let next { #expect(writeByte(next)) }
          return worker.driver.turn
        }
      }
      let follower = try reader(mine, nil)
      let readers = try pairs.enumerated().map { try reader($1.0, $0 == 0 ? theirs : nil) }
      await worker.idle()
      for pair in pairs { #expect(writeByte(pair.1)) }
      var turns: [UInt64] = []
      for reader in readers { turns.append(try await reader.value) }
      // While its array of events is full libuv polls again, and so has seen what the first reader wrote.
      #expect(try await follower.value == turns[0])
    }
  }
}
