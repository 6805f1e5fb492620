// SPDX-License-Identifier: Apache-2.0
// Time that never goes back, in nanoseconds; and durations on it, without overflow.

import CCulvert

enum MonotonicTime {
  static var now: UInt64 { culvert_monotonic_now() }

  /// The time `duration` from now: now itself when that is negative, the far end of time when it is too long.
  static func after(_ duration: Duration) -> UInt64 {
    let (seconds, attoseconds) = duration.components
    if seconds < 0 || attoseconds < 0 { return now }
    let (whole, overflow) = UInt64(seconds).multipliedReportingOverflow(by: 1_000_000_000)
    let part = UInt64((attoseconds + 999_999_999) / 1_000_000_000)  // rounded up: never early
    let (sum, overflow2) = now.addingReportingOverflow(whole)
    let (deadline, overflow3) = sum.addingReportingOverflow(part)
    return overflow || overflow2 || overflow3 ? TimerQueue.never - 1 : min(deadline, TimerQueue.never - 1)
  }
}
