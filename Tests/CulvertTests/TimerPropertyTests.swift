// SPDX-License-Identifier: Apache-2.0
// Timers of every kind at random, against CLOCK_MONOTONIC: none early, and how late at most.
//
// No test may fail because its machine was slow, so lateness is counted in turns of the worker. What it is in time the example
// `timers` measures.
import CulvertTesting
import Testing

@testable import Culvert

/// The ways to wait for a time.
private enum Way: CaseIterable {
  case sleepFor, sleepUntil, tick, timeout
}

private struct Moment: Sendable {
  let time = MonotonicTime.now
  /// The worker's.
  let turn: UInt64

  init(on worker: Worker) { turn = worker.driver.turn }
}

/// One wait that is over.
private struct Wait: Sendable {
  let way: Way
  let nanoseconds: UInt64
  let begun: Moment
  /// The last moment that is known before its task waits for its timer.
  let parked: Moment
  let ended: Moment

  init(_ way: Way, _ nanoseconds: UInt64, on worker: Worker) async throws {
    (self.way, self.nanoseconds) = (way, nanoseconds)
    let duration = Duration.nanoseconds(Int64(nanoseconds))
    begun = Moment(on: worker)
    switch way {
    case .sleepFor:
      parked = begun
      try await sleep(for: duration)
      ended = Moment(on: worker)
    case .sleepUntil:
      parked = begun
      try await sleep(until: .now + duration)
      ended = Moment(on: worker)
    case .tick:
      var ticks = Interval(every: duration, missedTicks: .catchUp).makeAsyncIterator()
      #expect(try await ticks.next() == 0)
      parked = Moment(on: worker)
      #expect(try await ticks.next() == 1)
      ended = Moment(on: worker)
    case .timeout:
      (parked, ended) = try await withTimeout(duration) {
        let parked = Moment(on: worker)
        #expect(await failure { try await sleep(for: .seconds(3600)) } == .cancelled)
        return (parked, Moment(on: worker))
      }
    }
  }

  var isEarly: Bool { ended.time < begun.time + nanoseconds }
}

/// What a task that gives way again and again sees of its worker: when each turn began, at the latest.
private final class Turns: Sendable {
  private let seen = Locked<[Moment]>([])

  func watch(_ worker: Worker) async {
    while !Task.isCancelled {
      let now = Moment(on: worker)
      seen.withLock { seen in
        if seen.last?.turn != now.turn { seen.append(now) }
      }
      await Task.yield()
    }
  }

  /// In how many turns `wait` was overdue and had not been told. A loop counts in milliseconds, hence the two of them.
  func lateness(of wait: Wait) -> UInt64 {
    let turns = seen.withLock { $0 }.drop { $0.turn <= wait.parked.turn }
    // A timer is set at the end of the turn in which its task parks, and the deadline is worked out before.
    guard let set = turns.first?.time else { return 0 }
    let overdue = turns.first { $0.time >= set + wait.nanoseconds + 2_000_000 }
    return overdue.map { wait.ended.turn - min(wait.ended.turn, $0.turn) } ?? 0
  }
}

@Suite(.timeLimit(watchdog)) struct TimerPropertyTests {
  private func randomWait(using random: inout SeededRandom) -> (Way, UInt64) {
    let longest: UInt64 = [0, 2_000, 3_000_000, 50_000_000].randomElement(using: &random) ?? 0
    return (Way.allCases.randomElement(using: &random) ?? .tick, .random(in: 0...longest, using: &random))
  }

  @Test(arguments: 0..<UInt64(rounds(ci: 5, stress: 500)))
  func `of 400 timers at once, of all kinds and lengths, none is early, nor late by more than two turns`(
    seed: UInt64
  ) async throws {
    try await onOneWorker { worker in
      let turns = Turns()
      async let _ = turns.watch(worker)
      let waits = try await withThrowingTaskGroup { group in
        var random = SeededRandom(seed)
        for _ in 0..<400 {
          let (way, nanoseconds) = randomWait(using: &random)
          group.addTask { try await Wait(way, nanoseconds, on: worker) }
        }
        return try await group.reduce(into: []) { $0.append($1) }
      }
      #expect(waits.count == 400 && worker.driver.handle.timers.count == 0)
      #expect(waits.filter(\.isEarly).isEmpty)
      #expect(waits.filter { turns.lateness(of: $0) > FairnessTests.mostTurns }.isEmpty)
    }
  }

  @Test(arguments: 0..<UInt64(rounds(ci: 3, stress: 100)))
  func `one after the other, on a worker with nothing else to do, none is early, and the loop does not spin`(
    seed: UInt64
  ) async throws {
    try await onOneWorker { worker in
      var random = SeededRandom(seed)
      for _ in 0..<60 {
        let (way, nanoseconds) = randomWait(using: &random)
        let wait = try await Wait(way, nanoseconds, on: worker)
        #expect(!wait.isEarly, "\(wait)")
        #expect(wait.ended.turn - wait.begun.turn < aFewTurns, "\(wait)")
        #expect(worker.driver.handle.timers.count == 0)
      }
    }
  }

  @Test func `a timer that is due is not put off by others that are, and come one after the other`() throws {
    var turns: Int?
    while turns == nil { turns = try turnsTooLate() }
    // Without the rule it would be for ever.
    #expect(turns ?? 2 <= 1)
  }

  /// In how many turns a timer is overdue while others come, two at most; `nil` if the machine took the thread away meanwhile, for then
  /// the number says nothing.
  private func turnsTooLate() throws -> Int? {
    let loop = try UvLoop()
    let queue = TimerQueue {}
    defer { queue.close() }
    let alarm = Alarm(loop, queue)
    let first = Note()
    var last = MonotonicTime.now
    let due = last + 500_000
    #expect(queue.add(first, at: due))
    var (late, others, other) = (0, 0 as UInt64, Note())
    while !first.isTold.withLock({ $0 }) {
      let now = MonotonicTime.now
      if now - last > 500_000 { return nil }
      last = now
      if now > due + 2_000_000 { late += 1 }
      if late > 1 { return late }
      alarm.set()
      loop.run(wait: false)
      if MonotonicTime.now > due {
        queue.remove(other)
        (others, other) = (others + 1, Note())
        #expect(queue.add(other, at: due - others))
      }
    }
    return late
  }
}

private final class Note: TimedAction {
  let isTold = Locked(false)
  func timeHasCome(_ reason: WakeReason) { isTold.withLock { $0 = true } }
}
