// SPDX-License-Identifier: Apache-2.0
// Waiting for a time, on the worker's own timers: no hop between threads, and removed at once when cancelled.

/// Waits until `duration` has passed; never less, and on an idle worker less than 2 ms more.
///
/// Returns at once when `duration` is zero or negative. Throws `.cancelled`, and `.shutDown` when the worker ends.
/// Unlike `Task.sleep` it does not leave the worker's thread. `clock_gettime(2)` with `CLOCK_MONOTONIC`.
public func sleep(for duration: Duration) async throws(IoError) {
  if duration <= .zero { return try checkCancellation("sleep for \(duration)") }
  try await sleep(untilMonotonic: MonotonicTime.after(duration), "sleep for \(duration)")
}

/// Waits until `deadline` is past. Otherwise as `sleep(for:)`.
public func sleep(until deadline: ContinuousClock.Instant) async throws(IoError) {
  // The two clocks differ by the time that the machine was suspended: look again after waking.
  while true {
    let left = ContinuousClock.now.duration(to: deadline)
    if left <= .zero { return try checkCancellation("sleep until a deadline") }
    try await sleep(untilMonotonic: MonotonicTime.after(left), "sleep until a deadline")
  }
}

private func sleep(
  untilMonotonic deadline: UInt64, _ operation: @autoclosure () -> String
) async throws(IoError) {
  switch await (try IoDriverHandle.current).timers.wait(for: deadline) {
  case .cancelled: throw IoError(.cancelled, during: operation())
  case .shutDown: throw IoError(.shutDown, during: operation())
  default: return
  }
}

private func checkCancellation(_ operation: @autoclosure () -> String) throws(IoError) {
  if Task.isCancelled { throw IoError(.cancelled, during: operation()) }
}
