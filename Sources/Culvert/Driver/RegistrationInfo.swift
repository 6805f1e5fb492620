// SPDX-License-Identifier: Apache-2.0
// What the driver and the waiters of one descriptor share: its readiness, its waiters, its poll handle.
// The lock is here, the decisions are in ReadinessState, libuv is behind UvPoll.

import Synchronization

/// The record of one I/O source. The poll handle's `data` points at it, and keeps it alive until libuv's close
/// callback, so an event always finds it.
final class RegistrationInfo: UvPollTarget, @unchecked Sendable {
  // There is one for each connection, so the small fields come first, where they fill up what the base class leaves.

  /// It was made here, so that libuv can watch it is no question.
  let isPollable: Bool
  /// Worker thread only. What `poll` watches for.
  private var armed: IoEventInterest = []
  /// What is known to be ready, and `homeBit`: read and cleared without the lock, added to under it. A clear that `readiness` has
  /// not heard of is told it first thing by whoever takes the lock next; one that comes too late, after an event, does no harm,
  /// for whoever parks then has the direction armed, and it reports again.
  private let known = Atomic(ReadinessState<Waiter>().ready.rawValue)
  /// In `known`: this source has a home.
  private static let homeBit: UInt8 = 0x80
  /// The process that it was made in. Elsewhere, in a fork, nobody would ever wake a waiter.
  let origin = ProcessOrigin()
  private let lock = Lock()
  /// An update for this record is in its driver's mailbox. Under the lock; cleared in the critical section that reads `wanted`.
  @exclusivity(unchecked) private var isQueued = false
  /// Worker thread only. libuv has a handle for it, be it one that is being closed.
  private var isWatched = false
  let limits = WaitLimits()
  /// Under the lock. In place, and not `Locked`: that would be an allocation for each connection.
  @exclusivity(unchecked) private var readiness = ReadinessState<Waiter>()
  /// The task that may wait in its worker's lobby, for its cancellation is sure to come here: its owner knows this for the place
  /// where the task waited last, or it has a handler for this wait. 0 when there is none. Set by that task, on the home's thread,
  /// and cleared by it and, under the lock, by its cancellation.
  let regular = Atomic<UInt>(0)
  /// The address of the handle of the driver that watches this source, which is kept; 0 before there is one. Set once, under the
  /// lock, by the first wait.
  private let homeAddress = Atomic<UInt>(0)

  /// Worker thread only. Made at the first real wait: a socket that never blocks never touches the loop.
  private var poll: UvPoll?

  /// Its place among its home's sources. Under the lock of those.
  @exclusivity(unchecked) nonisolated(unsafe) var links = SourceLinks()

  init(adopting number: Int32, isPollable: Bool) {
    self.isPollable = isPollable
    super.init(adopting: number)
  }

  deinit { home?.release() }

  /// The readiness as of the last event or wait, and whatever else is under the lock.
  @inline(__always)
  func withState<R>(_ body: (inout ReadinessState<Waiter>) -> R) -> R {
    lock.take(key)
    defer { lock.give(key) }
    return unsafe body(&readiness)
  }
  private var key: UInt { UInt(bitPattern: ObjectIdentifier(self)) }

  // MARK: readiness; safe from any thread

  enum Outlook {
    /// A try is worth while, as far as is known.
    case ready
    case mustWait
    /// As `mustWait`, and no driver knows this source yet.
    case mustBind
  }

  @inline(__always)
  func outlook(_ interest: IoEventInterest) -> Outlook {
    let known = known.load(ordering: .relaxed)
    if known & interest.rawValue != 0 { return .ready }
    return known & Self.homeBit != 0 ? .mustWait : .mustBind
  }

  /// Whether this is the thread of the home.
  @inline(__always)
  var isAtHome: Bool {
    let home = homeAddress.load(ordering: .relaxed)
    return home != 0 && home == IoDriverHandle.currentAddress
  }

  var home: Unretained<IoDriverHandle>? {
    unsafe UnsafeRawPointer(bitPattern: homeAddress.load(ordering: .acquiring)).map {
      unsafe Unretained(at: $0)
    }
  }

  /// A try would have blocked. That the peer has finished is never taken back.
  @inline(__always)
  func clearReadiness(_ interest: IoEventInterest) {
    known.bitwiseAnd(~interest.subtracting(.peerFinished).rawValue, ordering: .relaxed)
  }

  /// One look at, or change of, the readiness, which knows of all clears until then.
  @inline(__always)
  func withReadiness<R>(_ body: (inout ReadinessState<Waiter>) -> R) -> R {
    withState { readiness in
      let before = IoEventInterest(rawValue: known.load(ordering: .relaxed) & ~Self.homeBit)
      readiness.clear(readiness.ready.subtracting(before))
      defer {
        let added = readiness.ready.subtracting(before)
        if !added.isEmpty { known.bitwiseOr(added.rawValue, ordering: .relaxed) }
      }
      return body(&readiness)
    }
  }

  /// Wakes all who wait and refuses those who come. Returns the driver that has to let go of it, if any.
  @discardableResult
  func end(_ reason: ReadinessState<Waiter>.Ending) -> IoDriverHandle? {
    let woken = withState { $0.end(reason) }
    woken.wake(reason == .closed ? .closed : .shutDown)
    return home?.with { $0 }
  }

  /// Has who waits for `interest`, and who comes next, look again, though nothing was reported.
  func nudge(_ interest: IoEventInterest) {
    withReadiness { $0.nudge(interest) }.wake(.ready)
  }

  /// Whether waits here are refused with `.closed`, the descriptor being open or not.
  var refusesWaits: Bool { withState { $0.ending == .closed } }

  var hasHome: Bool { known.load(ordering: .relaxed) & Self.homeBit != 0 }

  /// Makes `handle` the home of this source; false when it has one, or nobody can wait here any more.
  func bind(to handle: IoDriverHandle) -> Bool {
    withState { readiness in
      if hasHome || readiness.ending != nil { return false }
      homeAddress.store(unsafe UInt(bitPattern: Unretained(keeping: handle).address), ordering: .releasing)
      known.bitwiseOr(Self.homeBit, ordering: .relaxed)
      return true
    }
  }

  /// True for the caller that has to put the record into its driver's mailbox.
  func markQueued() -> Bool {
    withState { _ in
      defer { unsafe isQueued = true }
      return unsafe !isQueued
    }
  }

  /// What is known now, for a report: the directions that are cached as ready, those that are armed, and who waits.
  var snapshot: (ready: IoEventInterest, armed: IoEventInterest, waits: [Wait]) {
    withReadiness { readiness in
      let waits = readiness.waiting.map { waiter, interest in
        Wait(task: waiter.task, interest: interest, since: waiter.since)
      }
      return (readiness.ready, readiness.wanted, waits)
    }
  }

  struct Wait {
    let task: TaskIdentity
    let interest: IoEventInterest
    /// A reading of `MonotonicTime.coarse`.
    let since: UInt64
  }

  // MARK: the driver's side; worker thread only

  /// Arms what is wanted now, no matter what was wanted when somebody asked for it.
  func reconcile(with driver: IoDriver) {
    let (wanted, hasEnded) = withState { readiness in
      unsafe isQueued = false
      return (readiness.wanted, readiness.ending != nil)
    }
    if hasEnded { return }
    if poll == nil {
      if wanted.isEmpty { return }
      guard acquire() else { return }  // closed: whoever did that wakes the waiters
      do throws(IoError) {
        poll = try driver.watch(self)
        isWatched = true
      } catch {
        release()
        let woken = withState { $0.dismiss() }
        woken.wake(.failed(error.errno))
        return
      }
    }
    if armed != wanted { driver.willArm() }
    poll?.arm(wanted.rawValue, insteadOf: armed.rawValue)
    armed = wanted
  }

  /// The driver is to let go: at once if there is no poll handle, else in the handle's close callback.
  func release(from driver: IoDriver) {
    if let poll {
      self.poll = nil
      poll.close(armed: armed.rawValue)
    } else if !isWatched {
      driver.handle.didRelease(self)
    }
  }

  override func polled(events: UInt8, failed: Bool) {
    let event = IoEventInterest(reported: events, asked: armed, failed: failed)
    if failed { armed = [] }  // libuv has stopped the handle
    wake(event, failed: failed)
  }

  override func pollClosed() {
    guard isWatched else { return }
    isWatched = false
    // In this order: whoever hears that the number is closed may register another one at once.
    home?.with { $0.didRelease(self) }
    release()
  }

  /// An event: marks the directions ready, then wakes those who wait for them.
  @inline(__always)
  private func wake(_ event: IoEventInterest, failed: Bool) {
    home?.with { unsafe $0.driver }?.with { driver in
      let turn = UInt8(truncatingIfNeeded: driver.turn)
      let (woken, update) = markReadinessState(event, failed: failed, turn: turn)
      if update { reconcile(with: driver) }
      let count = woken.wake(failed ? .error : .ready)
      driver.didWake(count)
    }
  }

  @inline(__always)
  private func markReadinessState(
    _ event: IoEventInterest, failed: Bool, turn: UInt8
  ) -> (woken: ReadinessState<Waiter>.Woken, update: Bool) {
    withReadiness { $0.event(event, turn: turn, stopped: failed) }
  }
}

extension ReadinessState<Waiter>.Woken {
  /// Wakes them; to be called with no lock held. Returns how many there were.
  @discardableResult @inline(__always)
  consuming func wake(_ reason: WakeReason) -> Int {
    guard let first else { return 0 }
    first.wake(reason)
    guard let rest else { return 1 }
    for waiter in rest { waiter.wake(reason) }
    return 1 + rest.count
  }
}

extension IoEventInterest {
  /// What to make of a report. A failure is "everything": the next try tells. So is, for reading and writing, that the
  /// peer has finished, and whatever was not asked for (newer versions of libuv mix bits up on a hang-up).
  fileprivate init(reported: UInt8, asked: IoEventInterest, failed: Bool) {
    if failed {
      self = .everything
      return
    }
    self.init(rawValue: reported & asked.rawValue)
    let isMixedUp = reported & ~asked.rawValue != 0
    if isMixedUp || contains(.peerFinished) { formUnion([.readable, .writable]) }
    // Nobody may be left out; but that the peer has finished could not be taken back.
    if isMixedUp { formUnion(.priority) }
  }
}
