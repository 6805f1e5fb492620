// SPDX-License-Identifier: Apache-2.0
// Whose turn it is to write.
import CulvertTesting
import Testing

@testable import Culvert

/// A turn that several tasks reach, as they do that of a stream.
final class SharedTurn: Sendable {
  let turn = WriteTurn()
}

@Suite(.timeLimit(watchdog)) struct WriteTurnTests {
  @Test func `one has the turn at a time, and gives it to whoever has waited longest`() async throws {
    try await onOneWorker { worker in
      let (shared, granted) = (SharedTurn(), Tally())
      #expect(shared.turn.tryTake() && !shared.turn.tryTake())
      await withDiscardingTaskGroup { group in
        for number in 1...3 {
          group.addTask {
            #expect(await shared.turn.wait() == .ready)
            #expect(granted.add() == number)
          }
          await worker.idle()
        }
        for count in 1...3 {
          #expect(granted.value == count - 1)
          shared.turn.give()
          await worker.idle()
          #expect(granted.value == count && !shared.turn.tryTake())
        }
      }
      shared.turn.give()
      #expect(shared.turn.tryTake())
    }
  }

  @Test func `closing sends away who waits, and who comes`() async throws {
    try await onOneWorker { worker in
      let shared = SharedTurn()
      #expect(shared.turn.tryTake())
      async let reason = shared.turn.wait()
      await worker.idle()
      shared.turn.close()
      #expect(await reason == .closed)
      #expect(await shared.turn.wait() == .closed)
      shared.turn.give()
      #expect(!shared.turn.tryTake())
    }
  }

  @Test func `many threads take the turn as they please, one has it at a time, and nobody is forgotten`()
    async throws
  {
    /// Counts without a lock: who has the turn has it alone, or the sanitizer and the sum tell.
    final class Count: @unchecked Sendable { var value = 0 }
    let (shared, count, rounds) = (SharedTurn(), Count(), isSanitized ? 200 : 5_000)
    let sum = try await withThrowingTaskGroup(of: Int.self) { group in
      for index in 0..<8 {
        group.addTask {
          var got = 0
          for round in 0..<rounds {
            if index % 4 == 3, round % 2 == 0 {
              // One that may be cancelled before it gets the turn.
              let task = Task {
                try await shared.turn.take(during: "count")
                count.value += 1
                shared.turn.give()
              }
              task.cancel()
              if case .success = await task.result { got += 1 }
            } else {
              try await shared.turn.take(during: "count")
              count.value += 1
              shared.turn.give()
              got += 1
            }
          }
          return got
        }
      }
      return try await group.reduce(0, +)
    }
    #expect(sum == count.value)
    #expect(count.value >= 7 * rounds && shared.turn.tryTake())
  }

  @Test func `tasks that come at once wait in one queue`() async throws {
    for _ in 0..<(isSanitized ? 50 : 2_000) {
      let (shared, start) = (SharedTurn(), Tally())
      try await withThrowingDiscardingTaskGroup { group in
        for _ in 0..<3 {
          group.addTask {
            start.add()
            while start.value < 3 { await Task.yield() }
            try await shared.turn.take(during: "wait")
            await Task.yield()
            shared.turn.give()
          }
        }
      }
      #expect(shared.turn.tryTake())
    }
  }
}
