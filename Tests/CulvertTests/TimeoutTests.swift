// SPDX-License-Identifier: Apache-2.0
// Work with a deadline: one outcome, told by the right error, and nothing left behind.
import CulvertTesting
import Testing

@testable import Culvert

private struct Failed: Error {}

@Suite(.timeLimit(watchdog)) struct TimeoutTests {
  /// Timers that the calling worker has.
  private var timers: Int { Worker.current?.driver.handle.timers.count ?? -1 }

  private func error(_ body: () async throws -> Void) async -> IoError? {
    do {
      try await body()
      return nil
    } catch {
      return error as? IoError
    }
  }

  @Test(arguments: Place.allCases)
  func `what is in time is returned, and what fails throws`(place: Place) async throws {
    try await place.run {
      let quick = try await withTimeout(.seconds(60)) { 7 }
      #expect(quick == 7)
      let slow = try await withTimeout(.seconds(60)) {
        try await sleep(for: .milliseconds(1))
        return 8
      }
      #expect(slow == 8)
      await #expect(throws: Failed.self) { try await withTimeout(.seconds(60)) { throw Failed() } }
      let byDeadline = try await withDeadline(.now + .seconds(60)) { 9 }
      #expect(byDeadline == 9)
    }
  }

  @Test(arguments: Place.allCases)
  func `what takes too long is cancelled, never early, and the error names the time`(place: Place)
    async throws
  {
    try await place.run {
      let start = MonotonicTime.now
      let error = await error { try await withTimeout(.milliseconds(20)) { await untilCancelled() } }
      #expect(error == nil)  // it heeded the cancellation, and returned all the same
      #expect(MonotonicTime.now - start >= 20_000_000)
      let thrown = await self.error {
        try await withTimeout(.milliseconds(2)) { try await sleep(for: .seconds(3600)) }
      }
      #expect(thrown?.code == .timedOut && thrown?.operation == "finish within 0.002 seconds")
      #expect(
        await failure { try await withDeadline(.now) { try await sleep(for: .seconds(9)) } } == .timedOut)
    }
  }

  @Test func `each kind of wait ends, in the task, in its children, and in the standard library's`()
    async throws
  {
    try await withRuntime(workers: 2) { _ in
      let stream = try await TcpStream.loopbackPair()
      let waits: [@Sendable () async throws -> Void] = [
        { _ = try await stream.0.read(upTo: 1) },
        {
          async let child = stream.0.read(upTo: 1)
          _ = try await child
        },
        { try await Task.sleep(for: .seconds(3600)) },
        { await untilCancelled() },
        { try await Latch().passed(during: "wait") },
      ]
      for (index, wait) in waits.enumerated() {
        let code = await failure { try await withTimeout(.milliseconds(1)) { try await wait() } }
        #expect(code == (index == 3 ? nil : .timedOut), "\(index)")
      }
      #expect(!Task.isCancelled)
      try await stream.1.write("x")
      #expect(try await stream.0.read(upTo: 1) == [UInt8(ascii: "x")])
    }
  }

  @Test func `of nested ones the nearer wins, and tells its own time`() async throws {
    try await onOneWorker { _ in
      for (outer, inner) in [(1, 3600), (3600, 1)] {
        let reached = Tally()
        let error = await error {
          try await withTimeout(.seconds(outer == 1 ? 0.001 : 3600)) {
            try await withTimeout(.seconds(inner == 1 ? 0.002 : 3600)) {
              try await sleep(for: .seconds(9999))
            }
          }
          reached.add()
        }
        #expect(error?.code == .timedOut)
        #expect(error?.operation == "finish within \(outer == 1 ? "0.001" : "0.002") seconds")
        #expect(reached.value == 0)
      }
    }
  }

  @Test func `who is cancelled is told so, though the time is up as well`() async throws {
    try await withRuntime(workers: 1) { runtime in
      let begun = Gate()
      let task = runtime.spawn {
        await failure {
          try await withTimeout(.seconds(3600)) {
            begun.open()
            try await sleep(for: .seconds(3600))
          }
        }
      }
      try await begun.passed()
      task.cancel()
      #expect(try await task.value == .cancelled)
      let other = runtime.spawn {
        await untilCancelled()
        return await failure { try await withTimeout(.zero) { try await sleep(for: .seconds(1)) } }
      }
      other.cancel()
      #expect(try await other.value == .cancelled)
    }
  }

  @Test(arguments: [Duration.zero, .nanoseconds(-1), .seconds(Int64.min)])
  func `without time the work begins cancelled, and its answer counts all the same`(duration: Duration)
    async throws
  {
    try await onOneWorker { _ in
      let isCancelled = try await withTimeout(duration) { Task.isCancelled }
      #expect(isCancelled)
      #expect(
        await failure { try await withTimeout(duration) { try await sleep(for: .seconds(9)) } } == .timedOut)
      let isTooLate = try await withDeadline(.now - .seconds(1)) { Task.isCancelled }
      #expect(isTooLate)
    }
  }

  @Test func `time without end is no overflow`() async throws {
    try await onOneWorker { _ in
      let count = try await withTimeout(.seconds(Int64.max)) { timers }
      #expect(count == 1)
    }
  }

  @Test func `whatever came of it, no timer is left`() async throws {
    try await withRuntime(workers: 1) { runtime in
      for _ in 0..<100 {
        _ = try await withTimeout(.seconds(3600)) { 1 }
        _ = await failure { try await withTimeout(.seconds(3600)) { throw Failed() } }
        _ = await failure { try await withTimeout(.microseconds(1)) { try await sleep(for: .seconds(3600)) } }
      }
      #expect(try await runtime.spawn { timers }.value == 0)
    }
  }

  @Test func `a deadline that no worker keeps is told at once`() async throws {
    let (home, begun) = (try Runtime(.init(workers: 1)), Gate())
    let code = home.spawn {
      begun.open()
      // Goes on while its worker ends, which gives no more time.
      #expect(await failure { try await sleep(for: .seconds(3600)) } == .shutDown)
      return await failure {
        try await withTimeout(.seconds(3600)) { try await Task.sleep(for: .seconds(3600)) }
      }
    }
    try await begun.passed()
    await home.workers[0].idle()
    await home.shutDown()
    #expect(try await code.value == .shutDown)
  }

  @Test func `an error of the work's own is told, though the time is up`() async throws {
    try await onOneWorker { _ in
      _ = await #expect(throws: Failed.self) {
        try await withTimeout(.milliseconds(1)) {
          await untilCancelled()
          throw Failed()
        }
      }
    }
  }

  @Test func `when the worker with the timer ends, the work is told`() async throws {
    let (home, begun) = (try Runtime(.init(workers: 1)), Gate())
    let code = home.spawn {
      await failure {
        try await withTimeout(.seconds(3600)) {
          begun.open()
          try await Task.sleep(for: .seconds(3600))
        }
      }
    }
    try await begun.passed()
    await home.shutDown()
    #expect(try await code.value == .shutDown)
  }

  @Test(arguments: Place.allCases)
  func `an end and the deadline at the same moment have one outcome`(place: Place) async throws {
    try await place.run {
      var (inTime, late) = (0, 0)
      for round in 0..<rounds(ci: 500, stress: 100_000) {
        do {
          let answer = try await withTimeout(.microseconds(900 + round % 200)) {
            try await sleep(for: .microseconds(1_000))
            return round
          }
          #expect(answer == round)
          inTime += 1
        } catch let error as IoError {
          #expect(error.code == .timedOut)
          late += 1
        }
        #expect(!Task.isCancelled)
      }
      #expect(inTime + late == rounds(ci: 500, stress: 100_000) && late > 0)
    }
  }
}
