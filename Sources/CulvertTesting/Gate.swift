// SPDX-License-Identifier: Apache-2.0
// What a test holds tasks back with, and what it waits for them by: instead of sleeping, or looping on yield.

public import Culvert

/// Closed until somebody opens it, then open for good.
///
/// ```swift
/// let gate = Gate()
/// let task = runtime.spawn { try await gate.passed(); return try await stream.read(upTo: 1) }
/// …          // arrange what the task is to meet
/// gate.open()
/// ```
/// Safe to use from any thread and from several tasks at once.
public final class Gate: Sendable {
  private let latch = Latch()

  /// A closed gate.
  public init() {}

  /// Lets everybody pass, those who wait and those who come. Idempotent.
  public func open() { latch.open() }

  /// Waits until the gate is open. Throws `.cancelled`.
  public func passed() async throws(IoError) { try await latch.passed(during: "wait at a gate") }
}

/// A number that any thread counts up, and that a test waits for.
///
/// ```swift
/// let served = Tally()
/// let listener = try await TcpListener.bind("127.0.0.1:0")
/// try await listener.serve { stream in … served.add() }     // in a task of its own
/// try await served.reached(100)
/// ```
public final class Tally: Sendable {
  private struct State {
    var value = 0
    var awaited: [(value: Int, latch: Latch)] = []
  }
  private let state = Locked(State())

  /// Starts at 0.
  public init() {}

  /// The count so far.
  public var value: Int { state.withLock { $0.value } }

  /// Counts up, wakes whom that concerns, and returns the new count.
  @discardableResult
  public func add(_ amount: Int = 1) -> Int {
    let (value, reached) = state.withLock { state in
      state.value += amount
      let value = state.value
      let reached = state.awaited.filter { $0.value <= value }
      state.awaited.removeAll { $0.value <= value }
      return (value, reached)
    }
    for one in reached { one.latch.open() }
    return value
  }

  /// Waits until the count is `value` or more. Throws `.cancelled`.
  public func reached(_ value: Int) async throws(IoError) {
    let latch = Latch()
    let isThere = state.withLock { state in
      if state.value >= value { return true }
      state.awaited.append((value, latch))
      return false
    }
    if !isThere { try await latch.passed(during: "wait for a count of \(value)") }
  }
}
