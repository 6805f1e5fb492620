// SPDX-License-Identifier: Apache-2.0
// Work with a deadline: a child task, and a timer on the worker that cancels it. A race of two child tasks would do too, at
// more than twice the cost (DECISIONS.md).

/// Runs `body` as a child task, and cancels it when `duration` has passed.
///
/// ```swift
/// let reply = try await withTimeout(.seconds(5)) {
///   try await stream.write(request)
///   return try await stream.read(upTo: 4096)
/// }
/// ```
/// Returns what `body` returns, even if that was too late: nothing that it did is lost. Throws what it throws, but a
/// cancellation that came of the deadline is `.timedOut`, which names `duration`; of nested ones the nearer wins. Always
/// waits for the end of `body`, which must heed cancellation, as all of this library does. With a duration that is not positive
/// `body` begins cancelled. Cancelling the task cancels `body`. `.shutDown` when the worker with the timer has ended.
public func withTimeout<R: Sendable>(
  _ duration: Duration, _ body: @Sendable () async throws -> R
) async throws -> R {
  try await DeadlineScope.run(for: duration, "finish within \(duration)", body)
}

/// Runs `body` as a child task, and cancels it when `deadline` is past. Otherwise as `withTimeout(_:_:)`.
public func withDeadline<R: Sendable>(
  _ deadline: ContinuousClock.Instant, _ body: @Sendable () async throws -> R
) async throws -> R {
  let left = ContinuousClock.now.duration(to: deadline)
  return try await DeadlineScope.run(for: left, "finish by a deadline", body)
}

/// A task that is cancelled when a time has come.
private final class DeadlineScope: TimedAction {
  @safe private struct State {
    /// The task, while it can be cancelled.
    var task: UnsafeCurrentTask?
    /// Why it was cancelled.
    var verdict: WakeReason?
    /// Another thread is about to cancel `task`, or is at it.
    var isCancelling = false
    /// The task's end waits for that.
    var cancelled: Latch?
  }
  private let state = Locked(State())

  static func run<R: Sendable>(
    for duration: Duration, _ operation: @autoclosure () -> String, _ body: @Sendable () async throws -> R
  ) async throws -> R {
    let timers = try IoDriverHandle.current.timers
    let deadline = duration > .zero ? timers.deadline(after: duration) : 0
    let scope = DeadlineScope()
    do {
      return try await withoutActuallyEscaping(body) { body in
        async let result = scope.run(body, until: deadline, timers)
        return try await result
      }
    } catch {
      throw scope.explain(error, operation())
    }
  }

  /// In the child task.
  private func run<R: Sendable>(
    _ body: @Sendable () async throws -> R, until deadline: UInt64, _ timers: TimerQueue
  ) async throws -> R {
    unsafe withUnsafeCurrentTask { task in
      state.withLock { unsafe $0.task = task }
    }
    if deadline == 0 {
      timeHasCome(.ready)
    } else if !timers.add(self, at: deadline) {
      timeHasCome(.shutDown)
    }
    // Not under a record of its own (TaskOwner): that would cost as much as the handlers of four waits.
    let result: Result<R, any Error>
    do {
      result = .success(try await body())
    } catch {
      result = .failure(error)
    }
    timers.remove(self)
    if let cancelled = leave() { _ = await cancelled.waitThoughCancelled(for: ()) }
    return try result.get()
  }

  func timeHasCome(_ reason: WakeReason) {
    guard cancelTask(reason) else { return }
    let awaited = state.withLock { state in
      state.isCancelling = false
      return state.cancelled
    }
    awaited?.open()
  }

  /// False when there is nothing to cancel. A function of its own: what it holds of the task is given back when it returns,
  /// while the task still waits for us. Its memory is its parent's, and no reference would keep it.
  @inline(never)
  private func cancelTask(_ verdict: WakeReason) -> Bool {
    let task = unsafe state.withLock { state -> UnsafeCurrentTask? in
      guard unsafe state.task != nil, state.verdict == nil else { return nil }
      state.verdict = verdict
      state.isCancelling = true
      return unsafe state.task
    }
    // With no lock held: this runs the cancellation handlers of the task.
    unsafe task?.cancel()
    return unsafe task != nil
  }

  /// The task can be cancelled no more. It may not end while another thread is cancelling it, for it would no longer be there:
  /// then there is something to wait for.
  private func leave() -> Latch? {
    state.withLock { state in
      unsafe state.task = nil
      if state.isCancelling { state.cancelled = Latch() }
      return state.cancelled
    }
  }

  /// What the caller is told when the task has thrown `error`.
  private func explain(_ error: any Error, _ operation: @autoclosure () -> String) -> any Error {
    // Who is cancelled himself is not to think that he has time left to try again.
    guard error.isCancellation, !Task.isCancelled else { return error }
    switch state.withLock({ $0.verdict }) {
    case .ready: return IoError(.timedOut, during: operation())
    case .shutDown: return IoError(.shutDown, during: operation())
    default: return error
    }
  }
}
