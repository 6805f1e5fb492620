// SPDX-License-Identifier: Apache-2.0
// Something to be done again and again, in step.

/// Ticks at equal distances, the first one at once.
///
/// ```swift
/// for try await _ in Interval(every: .seconds(10)) { try await stream.write("ping\n") }
/// ```
/// Costs nothing between the ticks but a timer of the worker. For one task at a time; each iterator has a count of its own.
public struct Interval: AsyncSequence, Sendable {
  /// What becomes of ticks that were missed, because what was done for one took longer than the distance.
  public enum MissedTicks: Sendable, Hashable {
    /// They follow at once, one after the other: as many ticks as there should have been.
    case catchUp
    /// The next tick comes a full distance after the late one, and all that follow are later by that.
    case delay
    /// They are left out: the next tick is in step with the first one.
    case skip
  }

  /// The distance between two ticks.
  public let distance: Duration
  /// What becomes of ticks that were missed.
  public let missedTicks: MissedTicks

  /// Ticks every `distance`, which is taken to be 1 ns if it is not positive.
  public init(every distance: Duration, missedTicks: MissedTicks = .skip) {
    self.distance = Swift.max(distance, .nanoseconds(1))
    self.missedTicks = missedTicks
  }

  /// Begins: the first tick is due now.
  public func makeAsyncIterator() -> Iterator { Iterator(of: self) }

  /// Waits for ticks.
  public struct Iterator: AsyncIteratorProtocol {
    private var schedule: TickSchedule

    fileprivate init(of interval: Interval) {
      let now = (try? IoDriverHandle.current.timers.now) ?? MonotonicTime.now
      schedule = TickSchedule(
        first: now, distance: MonotonicTime.nanoseconds(interval.distance), interval.missedTicks)
    }

    /// Waits for the next tick, and returns its number: 0 for the first, and those left out are counted.
    ///
    /// Never early, and never `nil`. Throws `.cancelled`, and `.shutDown` when the worker ends; no tick is lost by that.
    public mutating func next(
      isolation actor: isolated (any Actor)? = #isolation
    ) async throws(IoError) -> Int? {
      let timers = try IoDriverHandle.current.timers
      try await timers.sleep(until: schedule.due, "wait for a tick")
      return schedule.take(at: timers.now)
    }
  }
}

/// When ticks are due. Pure; in nanoseconds.
struct TickSchedule {
  private(set) var due: UInt64
  private let distance: UInt64
  private let missedTicks: Interval.MissedTicks
  private var number = 0

  init(first: UInt64, distance: UInt64, _ missedTicks: Interval.MissedTicks) {
    due = first
    self.distance = distance
    self.missedTicks = missedTicks
  }

  /// Takes the tick that is due, at `now`, which is no earlier; returns its number.
  mutating func take(at now: UInt64) -> Int {
    let late = now - due
    var steps: UInt64 = 1
    switch missedTicks {
    case .catchUp: due = Self.sum(due, distance)
    // Less late than a distance is in step: each tick is late a little, and that must not add up.
    case .delay: due = Self.sum(late < distance ? due : now, distance)
    case .skip:
      let missed = late / distance
      due = Self.sum(due + missed * distance, distance)
      steps += missed
    }
    defer { number = Int(clamping: UInt64(number) + steps) }
    return number
  }

  /// The far end of time at most.
  private static func sum(_ a: UInt64, _ b: UInt64) -> UInt64 {
    let (sum, overflow) = a.addingReportingOverflow(b)
    return overflow ? .max - 1 : min(sum, .max - 1)
  }
}
