// SPDX-License-Identifier: Apache-2.0
// Waiting for a time, on the worker's own timers: no hop between threads, and removed at once when cancelled.

/// Waits until `duration` has passed; never less, and on an idle worker less than 2 ms more.
///
/// Returns at once when `duration` is zero or negative. Throws `.cancelled`, and `.shutDown` when the worker ends.
/// Unlike `Task.sleep` it does not leave the worker's thread. `clock_gettime(2)` with `CLOCK_MONOTONIC`.
public func sleep(for duration: Duration) async throws(IoError) {
  if duration <= .zero { return try checkCancellation("sleep for \(duration)") }
  let timers = try IoDriverHandle.current.timers
  try await timers.sleep(until: timers.deadline(after: duration), "sleep for \(duration)")
}

/// Waits until `deadline` is past. Otherwise as `sleep(for:)`.
public func sleep(until deadline: ContinuousClock.Instant) async throws(IoError) {
  // The two clocks differ by the time that the machine was suspended: look again after waking.
  while true {
    let left = ContinuousClock.now.duration(to: deadline)
    if left <= .zero { return try checkCancellation("sleep until a deadline") }
    let timers = try IoDriverHandle.current.timers
    try await timers.sleep(until: timers.deadline(after: left), "sleep until a deadline")
    // The system's clock has not moved with a test's.
    if timers.isVirtual { return }
  }
}

extension TimerQueue {
  /// Waits until `now` is past `deadline`; lets others run even if it is already.
  func sleep(until deadline: UInt64, _ operation: @autoclosure () -> String) async throws(IoError) {
    switch await wait(for: deadline) {
    case .cancelled: throw IoError(.cancelled, during: operation())
    case .shutDown: throw IoError(.shutDown, during: operation())
    default: return
    }
  }
}

private func checkCancellation(_ operation: @autoclosure () -> String) throws(IoError) {
  if Task.isCancelled { throw IoError(.cancelled, during: operation()) }
}
