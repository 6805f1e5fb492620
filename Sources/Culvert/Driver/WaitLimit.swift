// SPDX-License-Identifier: Apache-2.0
// Waits on a descriptor that may take only so long: a timer of the worker gives them up, and no task is needed for that.
// Nothing is paid for it but by a wait with a limit: a read or write that need not wait sets no timer.

import Synchronization

/// How long the waits on one descriptor may take, by direction; 0 is for ever. Safe from any thread.
struct WaitLimits: ~Copyable, Sendable {
  private let reading = Atomic<UInt64>(0)
  private let writing = Atomic<UInt64>(0)

  /// The limit of a direction.
  subscript(interest: IoEventInterest) -> Duration? {
    let nanoseconds = self.nanoseconds(for: interest)
    return nanoseconds == 0 ? nil : .nanoseconds(Int64(clamping: nanoseconds))
  }

  func set(_ interest: IoEventInterest, to limit: Duration?) {
    // One that is over at once is not none.
    let nanoseconds = limit.map { max(1, MonotonicTime.nanoseconds($0)) } ?? 0
    if interest == .writable {
      writing.store(nanoseconds, ordering: .relaxed)
    } else {
      reading.store(nanoseconds, ordering: .relaxed)
    }
  }

  /// No wait is limited.
  @inline(__always)
  var isEmpty: Bool { reading.load(ordering: .relaxed) | writing.load(ordering: .relaxed) == 0 }

  /// Of what is waited for together the first that is limited counts.
  func nanoseconds(for interest: IoEventInterest) -> UInt64 {
    let reading = interest.contains(.readable) ? reading.load(ordering: .relaxed) : 0
    return reading == 0 && interest.contains(.writable) ? writing.load(ordering: .relaxed) : reading
  }
}

extension RegistrationInfo: TimedPlace {
  /// As `wait(for:)`, until `deadline` at the latest: then it is `.timedOut`. A deadline of 0 is one that is to be set, by the
  /// limit for `interest`, if there is any.
  @inline(never)
  func wait(for interest: IoEventInterest, until deadline: inout UInt64) async -> WakeReason {
    if deadline == 0 {
      let limit = limits.nanoseconds(for: interest)
      if limit == 0 { return await wait(for: interest) }
      guard let timers = try? IoDriverHandle.current.timers else { return .shutDown }
      deadline = timers.deadline(after: limit)
    }
    return await wait(for: interest, before: deadline)
  }

  private func wait(for interest: IoEventInterest, before deadline: UInt64) async -> WakeReason {
    guard let timers = try? IoDriverHandle.current.timers else { return .shutDown }
    let task = TaskIdentity.current
    guard timers.limitWait(of: task, at: self, until: deadline) else { return .shutDown }
    defer { timers.liftLimit(of: task) }
    return await wait(for: interest)
  }
}

extension BridgedFd {
  /// The longest that a read may wait without getting anything; `nil`, as it is at first, is for ever.
  ///
  /// ```swift
  /// stream.readTimeout = .seconds(30)
  /// ```
  /// Then it throws `.timedOut`, and can be tried again: nothing is lost. Counts for whatever waits for `.readable`, from its
  /// first wait on: for a listener that is `accept`, and for a datagram socket `receive`. Costs no task: a timer, and only while
  /// something waits.
  public var readTimeout: Duration? {
    get { registration.info.limits[.readable] }
    set { registration.info.limits.set(.readable, to: newValue) }
  }

  /// The longest that a write may wait without getting rid of anything; `nil`, as it is at first, is for ever.
  ///
  /// Then it throws `.timedOut`, and `bytesWritten` says how many went out. The turn of another task's write is waited for without
  /// a limit. Otherwise as `readTimeout`.
  public var writeTimeout: Duration? {
    get { registration.info.limits[.writable] }
    set { registration.info.limits.set(.writable, to: newValue) }
  }
}
