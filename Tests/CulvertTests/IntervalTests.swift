// SPDX-License-Identifier: Apache-2.0
// Ticks: never early, in step, and what becomes of those that were missed.
import CulvertTesting
import Testing

@testable import Culvert

@Suite(.timeLimit(watchdog)) struct IntervalTests {
  /// The numbers of the ticks and when the next one is due, if they are taken at these times; the distance is 10.
  private func run(_ missed: Interval.MissedTicks, _ times: [UInt64]) -> (numbers: [Int], due: [UInt64]) {
    var schedule = TickSchedule(first: 100, distance: 10, missed)
    var (numbers, due): ([Int], [UInt64]) = ([], [])
    for time in times {
      numbers.append(schedule.take(at: time))
      due.append(schedule.due)
    }
    return (numbers, due)
  }

  @Test(arguments: [Interval.MissedTicks.catchUp, .delay, .skip])
  func `a tick that is a little late moves none of the others`(missed: Interval.MissedTicks) {
    #expect(run(missed, [100, 112, 129, 130]) == ([0, 1, 2, 3], [110, 120, 130, 140]))
  }

  @Test func `missed ticks are made up for, or move the others, or are left out`() {
    #expect(run(.catchUp, [100, 135, 135, 135, 140]) == ([0, 1, 2, 3, 4], [110, 120, 130, 140, 150]))
    #expect(run(.delay, [100, 135, 145]) == ([0, 1, 2], [110, 145, 155]))
    #expect(run(.skip, [100, 135, 140]) == ([0, 1, 4], [110, 140, 150]))
    #expect(run(.skip, [100, 120, 130]) == ([0, 1, 3], [110, 130, 140]))
  }

  @Test(arguments: [Interval.MissedTicks.catchUp, .delay, .skip])
  func `at the far end of time nothing overflows`(missed: Interval.MissedTicks) {
    var schedule = TickSchedule(first: .max - 5, distance: .max, missed)
    #expect(schedule.take(at: .max - 5) == 0 && schedule.due == .max - 1)
    #expect(schedule.take(at: .max) == 1 && schedule.due == .max - 1)
  }

  @Test(arguments: Place.allCases)
  func `the first tick comes at once, and none of them early`(place: Place) async throws {
    try await place.run {
      let start = MonotonicTime.now
      for try await number in Interval(every: .milliseconds(3), missedTicks: .catchUp) {
        #expect(MonotonicTime.now - start >= UInt64(number) * 3_000_000)
        if number == 5 { break }
      }
    }
  }

  @Test(arguments: [Duration.zero, .seconds(-1)])
  func `a distance that is not positive still lets others run, and heeds cancellation`(distance: Duration)
    async throws
  {
    try await withRuntime(workers: 1) { runtime in
      let ticks = Tally()
      let ticking = runtime.spawn {
        for try await _ in Interval(every: distance, missedTicks: .catchUp) { ticks.add() }
      }
      try await ticks.reached(1_000)
      #expect(try await runtime.spawn { true }.value)
      ticking.cancel()
      #expect(await failure { try await ticking.value } == .cancelled)
    }
  }

  @Test func `a cancelled wait ends, and no timer is left`() async throws {
    try await withRuntime(workers: 1) { runtime in
      let ticks = Tally()
      let ticking = runtime.spawn {
        for try await _ in Interval(every: .seconds(3600)) { ticks.add() }
      }
      try await ticks.reached(1)
      await runtime.workers[0].idle()
      #expect(runtime.workers[0].driver.handle.timers.count == 1)
      ticking.cancel()
      #expect(await failure { try await ticking.value } == .cancelled)
      #expect(runtime.workers[0].driver.handle.timers.count == 0)
    }
  }
}
