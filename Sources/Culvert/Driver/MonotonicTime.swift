// SPDX-License-Identifier: Apache-2.0
// Time that never goes back, in nanoseconds; and durations on it, without overflow.

import CCulvert

enum MonotonicTime {
  static var now: UInt64 { culvert_monotonic_now() }
  /// A few milliseconds old: for reports, at a quarter of the cost.
  static var coarse: UInt64 { culvert_coarse_now() }
  /// On a worker's thread as old as its turn, at no cost; elsewhere as `coarse`.
  @inline(__always)
  static var ofTurn: UInt64 {
    let time = culvert_turn_time()
    return time == 0 ? coarse : time
  }
  /// Says when the turn of the worker on this thread began; 0: there is none.
  static func noteTurn(at time: UInt64) { culvert_set_turn_time(time) }

  /// The time `duration` from now: now itself when that is negative, the far end of time when it is too long.
  static func after(_ duration: Duration, from now: UInt64 = now) -> UInt64 {
    after(nanoseconds: nanoseconds(duration), from: now)
  }

  static func after(nanoseconds: UInt64, from now: UInt64) -> UInt64 {
    let (deadline, overflow) = now.addingReportingOverflow(nanoseconds)
    return overflow ? TimerQueue.never - 1 : min(deadline, TimerQueue.never - 1)
  }

  /// Rounded up, so that nothing is early; 0 for a negative one, and the largest number for what is too long.
  static func nanoseconds(_ duration: Duration) -> UInt64 {
    let (seconds, attoseconds) = duration.components
    if seconds < 0 || attoseconds < 0 { return 0 }
    let (whole, overflow) = UInt64(seconds).multipliedReportingOverflow(by: 1_000_000_000)
    let (sum, overflow2) = whole.addingReportingOverflow(UInt64((attoseconds + 999_999_999) / 1_000_000_000))
    return overflow || overflow2 ? .max : sum
  }
}
