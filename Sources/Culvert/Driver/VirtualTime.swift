// SPDX-License-Identifier: Apache-2.0
// Time for tests: it stands still until somebody moves it.

/// What the timers of a runtime go by in place of `MonotonicTime`, if it is made so. In nanoseconds, from 0. Safe from any
/// thread.
package final class VirtualTime: Sendable {
  private let nanoseconds = Locked<UInt64>(0)

  package init() {}

  package var now: UInt64 { nanoseconds.withLock { $0 } }

  /// Never back. (`Atomic<UInt64>.max` of Swift 6.3 compares as if signed.) Whose timers are due then is to be told: they look at the time before each poll.
  package func move(to time: UInt64) { nanoseconds.withLock { $0 = max($0, time) } }

  /// The time `duration` from now, as `MonotonicTime.after`.
  package func after(_ duration: Duration) -> UInt64 { MonotonicTime.after(duration, from: now) }
}

extension VirtualTime: Hashable {
  package static func == (a: VirtualTime, b: VirtualTime) -> Bool { a === b }
  package func hash(into hasher: inout Hasher) { hasher.combine(ObjectIdentifier(self)) }
}
