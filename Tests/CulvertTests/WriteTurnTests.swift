// SPDX-License-Identifier: Apache-2.0
// Whose turn it is to write.
import CulvertTesting
import Testing

@testable import Culvert

/// A turn that several tasks reach, as they do that of a stream.
final class SharedTurn: Sendable {
  private let turn = WriteTurn()
  func tryTake() -> Bool { turn.tryTake() }
  func take() async throws(IoError) { try await turn.take(during: "take a turn") }
  func wait() async -> WakeReason { await turn.wait() }
  func give() { turn.give() }
  func close() { turn.close() }
  /// What a task does that has found it taken, and nobody waiting.
  func makeQueueAsWell() { turn.makeQueue(insteadOf: WriteTurn.Word.taken) }
}

@Suite(.timeLimit(watchdog)) struct WriteTurnTests {
  @Test func `one has the turn at a time, and gives it to whoever has waited longest`() async throws {
    try await onOneWorker { worker in
      let (turn, granted) = (SharedTurn(), Tally())
      #expect(turn.tryTake() && !turn.tryTake())
      await withDiscardingTaskGroup { group in
        for number in 1...3 {
          group.addTask {
            #expect(await turn.wait() == .ready)
            #expect(granted.add() == number)
          }
          await worker.idle()
        }
        for count in 1...3 {
          #expect(granted.value == count - 1)
          turn.give()
          await worker.idle()
          #expect(granted.value == count && !turn.tryTake())
        }
      }
      turn.give()
      #expect(turn.tryTake())
    }
  }

  @Test func `closing sends away who waits, and who comes`() async throws {
    try await onOneWorker { worker in
      let turn = SharedTurn()
      #expect(turn.tryTake())
      async let reason = turn.wait()
      await worker.idle()
      turn.close()
      #expect(await reason == .closed)
      #expect(await turn.wait() == .closed)
      turn.give()
      #expect(!turn.tryTake())
    }
  }

  @Test func `many threads take the turn as they please, one has it at a time, and nobody is forgotten`()
    async throws
  {
    /// Counts without a lock: who has the turn has it alone, or the sanitizer and the sum tell.
    final class Count: @unchecked Sendable { var value = 0 }
    let (turn, count, rounds) = (SharedTurn(), Count(), isSanitized ? 200 : 5_000)
    let sum = try await withThrowingTaskGroup(of: Int.self) { group in
      for index in 0..<8 {
        group.addTask {
          var got = 0
          for round in 0..<rounds {
            if index % 4 == 3, round % 2 == 0 {
              // One that may be cancelled before it gets the turn.
              let task = Task {
                try await turn.take()
                count.value += 1
                turn.give()
              }
              task.cancel()
              if case .success = await task.result { got += 1 }
            } else {
              try await turn.take()
              count.value += 1
              turn.give()
              got += 1
            }
          }
          return got
        }
      }
      return try await group.reduce(0, +)
    }
    #expect(sum == count.value)
    #expect(count.value >= 7 * rounds && turn.tryTake())
  }

  @Test func `tasks that come at once wait in one queue`() async throws {
    try await onOneWorker { worker in
      let turn = SharedTurn()
      #expect(turn.tryTake())
      async let reason = turn.wait()
      await worker.idle()
      turn.makeQueueAsWell()
      turn.give()
      #expect(await reason == .ready)
    }
  }
}
