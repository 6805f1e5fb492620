// SPDX-License-Identifier: Apache-2.0
// A clock that a test moves: hours pass at once, and always in the same order.

public import Culvert

/// The time of a runtime that was made for a test: it stands still until `advance(by:)`.
///
/// ```swift
/// let clock = VirtualClock()
/// try await withRuntime(clock: clock) { _ in
///   async let answer = withTimeout(.seconds(3600)) { try await stream.read(upTo: 1) }
///   await clock.advance(by: .seconds(3600))
///   await #expect(throws: IoError.self) { try await answer }
/// }
/// ```
/// It is what `sleep`, `withTimeout`, `withDeadline`, `Interval` and all other timers of this library go by, on the runtime's
/// workers and in the tasks that were started from there (`Task {}` too, but not `Task.detached`). A `ContinuousClock.Instant`
/// is of the system's clock: what is left until there when it is handed over is the time that it stands for. `Task.sleep`
/// and what other processes and machines do take their real time. Safe from any thread, but for one task at a time.
public final class VirtualClock: Sendable {
  let time = VirtualTime()
  private let workers = Locked<[Worker]>([])

  /// A clock at 0.
  public init() {}

  /// How far it has been moved.
  public var elapsed: Duration { .nanoseconds(Int64(clamping: time.now)) }

  /// Moves the time on by `duration`, stopping whenever a timer is due on the way: in order, and each time until all the
  /// workers have nothing left to do.
  ///
  /// Also before the first: who is on his way to sleep gets there. On return all that has come of it is done, as far as it is
  /// done on the workers: what a thread of `offload` or a task elsewhere does is not waited for. Does not return while a
  /// worker is always busy. When the task is cancelled it stops where it is.
  public func advance(by duration: Duration) async {
    let end = time.after(duration)
    await onNoWorker { clock in
      while await clock.settle() {
        guard let due = clock.nextTimer, due <= end else { return clock.time.move(to: end) }
        clock.time.move(to: due)
      }
    }
  }

  /// Moves the time on to the next timer, and lets those run whose it is; returns by how much, or `nil` if there is none.
  @discardableResult
  public func advanceToNextTimer() async -> Duration? {
    let start = time.now
    let found = Locked<UInt64?>(nil)
    await onNoWorker { clock in
      guard await clock.settle(), let due = clock.nextTimer else { return }
      found.withLock { $0 = due }
      clock.time.move(to: due)
      _ = await clock.settle()
    }
    return found.withLock { $0 }.map { .nanoseconds(Int64(clamping: $0 - min($0, start))) }
  }

  /// The workers of a runtime that goes by this clock.
  func add(_ some: [Worker]) { workers.withLock { $0 += some } }

  func remove(_ some: [Worker]) {
    workers.withLock { workers in workers.removeAll { worker in some.contains { $0 === worker } } }
  }

  private var nextTimer: UInt64? { workers.withLock { $0.compactMap(\.nextTimer).min() } }

  /// The caller's worker is to have nothing to do but what it is looked at for.
  private func onNoWorker(_ body: @escaping @Sendable (VirtualClock) async -> Void) async {
    let task = Task.detached { await body(self) }
    await withTaskCancellationHandler {
      await task.value
    } onCancel: {
      task.cancel()
    }
  }

  /// Returns when all workers are idle, at one and the same time; false when the task is cancelled.
  ///
  /// They are looked at one after the other, and any of them may have given work to one that was looked at before, over a socket
  /// too. So each must have run nothing from its first look to its second, all of which come after all the first ones.
  private func settle() async -> Bool {
    var before: [Int]?
    while !Task.isCancelled {
      let workers = workers.withLock { $0 }
      for worker in workers { await worker.idle() }
      let now = workers.map(\.busyTurns)
      if now == before { return true }
      before = now
    }
    return false
  }
}

/// Runs `body` on a worker of a new runtime that goes by `clock`, and ends the runtime when it returns or throws.
///
/// Otherwise as `withRuntime(_:_:)`. Several runtimes may go by one clock.
@concurrent
public func withRuntime<R: Sendable>(
  clock: VirtualClock, _ configuration: Runtime.Configuration,
  _ body: @concurrent @Sendable (Runtime) async throws -> R
) async throws -> R {
  var configuration = configuration
  configuration.time = clock.time
  return try await withRuntime(configuration) { runtime in
    clock.add(runtime.workers)
    defer { clock.remove(runtime.workers) }
    return try await Runtime.$substitute.withValue(runtime) { try await body(runtime) }
  }
}

/// As `withRuntime(clock:_:_:)`, with the default configuration but for the number of workers.
@concurrent
public func withRuntime<R: Sendable>(
  clock: VirtualClock, workers: Int = 1, _ body: @concurrent @Sendable (Runtime) async throws -> R
) async throws -> R {
  try await withRuntime(clock: clock, Runtime.Configuration(workers: workers), body)
}
