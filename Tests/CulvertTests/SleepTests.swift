// SPDX-License-Identifier: Apache-2.0
// Sleeping: never early, in order, and gone without a trace when cancelled.
import CulvertTesting
import Testing

@testable import Culvert

@Suite(.timeLimit(watchdog)) struct SleepTests {
  /// Timers that the calling worker has.
  private var timers: Int { Worker.current?.driver.handle.timers.count ?? -1 }

  @Test func `a duration in nanoseconds is rounded up, and never overflows`() {
    let table: [(Duration, UInt64)] = [
      (.zero, 0), (.nanoseconds(7), 7), (Duration(secondsComponent: 0, attosecondsComponent: 1), 1),
      (.seconds(1) + Duration(secondsComponent: 0, attosecondsComponent: 1), 1_000_000_001),
      (.nanoseconds(-1), 0), (.seconds(Int64.min), 0), (.seconds(18_446_744_073), 18_446_744_073_000_000_000),
      (.seconds(18_446_744_074), .max), (.seconds(Int64.max), .max), (.seconds(36_893_488_148), .max),
    ]
    for (duration, nanoseconds) in table { #expect(MonotonicTime.nanoseconds(duration) == nanoseconds) }
  }

  @Test(arguments: Place.allCases)
  func `a sleep is never early`(place: Place) async throws {
    try await place.run {
      try await withThrowingTaskGroup { group in
        for microseconds in [1, 10, 500, 999, 1_000, 1_001, 1_500, 2_999, 7_777, 20_000] {
          for _ in 0..<10 {
            group.addTask {
              let start = MonotonicTime.now
              try await sleep(for: .microseconds(microseconds))
              #expect(MonotonicTime.now - start >= UInt64(microseconds) * 1_000)
            }
          }
        }
        try await group.waitForAll()
      }
    }
  }

  @Test func `a job that takes long makes no sleep early`() async throws {
    try await onOneWorker { _ in
      for _ in 0..<20 {
        // The loop's own idea of the time is old now.
        let busyUntil = MonotonicTime.now + 5_000_000
        while MonotonicTime.now < busyUntil {}
        let start = MonotonicTime.now
        try await sleep(for: .milliseconds(2))
        #expect(MonotonicTime.now - start >= 2_000_000)
      }
    }
  }

  @Test func `sleeps end in the order of their deadlines, and else of their beginning`() async throws {
    try await onOneWorker { worker in
      let (queue, order) = (TimerQueue {}, Log())
      let deadlines = (0..<60).map { UInt64($0 / 3) }.shuffled()
      let expected = deadlines.indices.sorted { (deadlines[$0], $0) < (deadlines[$1], $1) }
      await withTaskGroup { group in
        for (number, deadline) in deadlines.enumerated() {
          group.addTask {
            _ = await queue.wait(for: deadline)
            order.append(number)
          }
        }
        await worker.idle()
        #expect(queue.count == deadlines.count && order.entries.isEmpty)
        queue.expire()
      }
      #expect(order.entries == expected)
    }
  }

  @Test(arguments: [Duration.zero, .nanoseconds(-1), .seconds(-5), .seconds(Int64.min)])
  func `a duration that is not positive ends at once`(duration: Duration) async throws {
    try await onOneWorker { _ in
      try await sleep(for: duration)
      try await sleep(until: ContinuousClock.now - .seconds(1))
      #expect(timers == 0)
    }
  }

  @Test(arguments: [Duration.zero, .seconds(-1), .milliseconds(1), .seconds(60)])
  func `a task that has been cancelled does not sleep`(duration: Duration) async throws {
    try await withRuntime(workers: 1) { runtime in
      let task = runtime.spawn {
        await untilCancelled()
        #expect(await failure { try await sleep(for: duration) } == .cancelled)
        let deadline = ContinuousClock.now + duration
        #expect(await failure { try await sleep(until: deadline) } == .cancelled)
        #expect(timers == 0)
      }
      task.cancel()
      try await task.value
    }
  }

  static let longSleeps: [Duration] = [
    .seconds(Int64.max), .seconds(Int64.max) + .nanoseconds(999_999_999), .nanoseconds(Int64.max),
    .seconds(1 << 31), .milliseconds(1 << 31), .seconds(18_446_744_073),
  ]

  @Test(arguments: Place.allCases, longSleeps)
  func `a sleep without end goes on until it is cancelled`(place: Place, duration: Duration) async throws {
    try await place.run {
      let woken = Tally()
      await withTaskGroup { group in
        group.addTask {
          #expect(await failure { try await sleep(for: duration) } == .cancelled)
          woken.add()
        }
        await #expect(thrown { try await sleep(for: .milliseconds(3)) } == nil)
        #expect(woken.value == 0)
        group.cancelAll()
      }
      #expect(woken.value == 1)
    }
  }

  @Test func `a cancelled sleep leaves no timer`() async throws {
    try await onOneWorker { worker in
      await withTaskGroup { group in
        for _ in 0..<100 {
          group.addTask {
            #expect(await failure { try await sleep(for: .seconds(3600)) } == .cancelled)
          }
        }
        await worker.idle()
        #expect(timers == 100)
        group.cancelAll()
        #expect(timers == 0)
      }
    }
  }

  @Test func `of 100,000 sleeps that are cancelled at random none is left`() async throws {
    try await withRuntime(workers: 2) { runtime in
      var random = SeededRandom(1)
      var tasks: [(task: Task<Void, any Error>, isLong: Bool)] = []
      for _ in 0..<100_000 {
        let isLong = Bool.random(using: &random)
        let short = Int.random(in: 0...40_000, using: &random)
        let duration = isLong ? Duration.seconds(3600) : .microseconds(short)
        tasks.append((runtime.spawn { try await sleep(for: duration) }, isLong))
        // A short one may be over by now, or not have begun.
        let (task, _) = tasks[Int.random(in: 0..<tasks.count, using: &random)]
        task.cancel()
      }
      var (wrong, cancelled) = (0, 0)
      for (task, isLong) in tasks {
        if isLong { task.cancel() }
        let code = await failure { try await task.value }
        if code == .cancelled { cancelled += 1 } else if isLong || code != nil { wrong += 1 }
      }
      #expect(wrong == 0 && cancelled > 50_000)
      for worker in runtime.workers { #expect(worker.driver.handle.timers.count == 0) }
    }
  }

  @Test func `the end of the runtime ends every sleep, and refuses new ones`() async throws {
    let runtime = try Runtime(Runtime.Configuration(workers: 2))
    let begun = Tally()
    let tasks = (0..<100).map { number in
      runtime.spawn {
        begun.add()
        let first = await thrown { try await sleep(for: .seconds(3600)) }
        let second = await thrown { try await sleep(for: .seconds(3600)) }
        return [first?.code, second?.code]
      }
    }
    try await begun.reached(100)
    await runtime.shutDown()
    for task in tasks { #expect(try await task.value == [.shutDown, .shutDown]) }
  }

  @Test func `an earlier sleep of another thread is not kept waiting by a later one`() async throws {
    try await withRuntime(workers: 1) { runtime in
      let worker = runtime.workers[0]
      let timers = worker.driver.handle.timers
      async let long = thrown { try await sleep(for: .seconds(3600)) }
      await worker.idle()
      let elsewhere = Task {
        // On no worker: the worker's loop sleeps for an hour by now, and must be told.
        await timers.wait(for: MonotonicTime.now + 5_000_000)
      }
      #expect(await elsewhere.value == .ready)
      await runtime.shutDown()
      #expect(await long?.code == .shutDown)
    }
  }
}

/// Numbers in the order in which tasks noted them.
private final class Log: Sendable {
  private let all = Locked<[Int]>([])
  var entries: [Int] { all.withLock { $0 } }
  func append(_ number: Int) { all.withLock { $0.append(number) } }
}
