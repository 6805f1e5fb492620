// SPDX-License-Identifier: Apache-2.0
// What the driver and the waiters of one descriptor share: its readiness, its waiters, its poll handle.
// The lock is here, the decisions are in ReadinessState, libuv is behind UvPoll.

import Synchronization

/// The record of one I/O source. The poll handle's `data` points at it, and keeps it alive until libuv's close
/// callback, so an event always finds it.
final class RegistrationInfo: UvPollTarget, @unchecked Sendable {
  let descriptor: Descriptor
  private let state = Locked(State())

  /// Worker thread only. Made at the first real wait: a socket that never blocks never touches the loop.
  private var poll: UvPoll?
  /// Worker thread only. Set while `poll` is.
  private var driver: IoDriver?

  private struct State {
    var readiness = ReadinessState<Waiter>()
    /// The driver that watches this source; set once, by the first wait.
    var home: IoDriverHandle?
    /// An update for this record is in its driver's mailbox. Cleared in the critical section that reads `wanted`.
    var isQueued = false
  }

  init(_ descriptor: Descriptor) {
    self.descriptor = descriptor
  }

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
    state.withLock { state in
      if !state.readiness.ready.isDisjoint(with: interest) { return .ready }
      return state.home == nil ? .mustBind : .mustWait
    }
  }

  @inline(__always)
  func clearReadiness(_ interest: IoEventInterest) {
    state.withLock { $0.readiness.clear(interest) }
  }

  /// Wakes all who wait and refuses those who come. Returns the driver that has to let go of it, if any.
  @discardableResult
  func end(_ reason: ReadinessState<Waiter>.Ending) -> IoDriverHandle? {
    let (woken, home) = state.withLock { ($0.readiness.end(reason), $0.home) }
    woken.wake(reason == .closed ? .closed : .shutDown)
    return home
  }

  /// Makes `handle` the home of this source; false when it has one, or nobody can wait here any more.
  func bind(to handle: IoDriverHandle) -> Bool {
    state.withLock { state in
      if state.home != nil || state.readiness.ending != nil { return false }
      state.home = handle
      return true
    }
  }

  /// True for the caller that has to put the record into its driver's mailbox.
  func markQueued() -> Bool {
    state.withLock { state in
      defer { state.isQueued = true }
      return !state.isQueued
    }
  }

  // MARK: the driver's side; worker thread only

  /// Arms what is wanted now, no matter what was wanted when somebody asked for it.
  func reconcile(with driver: IoDriver) {
    let (wanted, hasEnded) = state.withLock { state in
      state.isQueued = false
      return (state.readiness.wanted, state.readiness.ending != nil)
    }
    if hasEnded { return }
    if poll == nil {
      if wanted.isEmpty { return }
      guard descriptor.acquire() else { return }  // closed: whoever did that wakes the waiters
      do throws(IoError) {
        poll = try driver.watch(self)
        self.driver = driver
      } catch {
        descriptor.release()
        let woken = state.withLock { $0.readiness.dismiss() }
        woken.wake(.failed(error.errno))
        return
      }
    }
    if poll?.armed != wanted.rawValue { driver.willArm() }
    poll?.arm(wanted.rawValue)
  }

  /// The driver is to let go: at once if there is no poll handle, else in the handle's close callback.
  func release(from driver: IoDriver) {
    if let poll {
      self.poll = nil
      poll.close()
    } else if self.driver == nil {
      driver.handle.didRelease()
    }
  }

  override func polled(events: UInt8, failed: Bool) {
    guard let driver, let asked = poll?.armed else { return }
    if failed { poll?.wasStopped() }
    wake(IoEventInterest(reported: events, asked: asked, failed: failed), failed: failed, driver)
  }

  override func pollClosed() {
    guard let driver else { return }
    self.driver = nil
    descriptor.release()
    driver.handle.didRelease()
  }

  /// An event: marks the directions ready, then wakes those who wait for them.
  private func wake(_ event: IoEventInterest, failed: Bool, _ driver: IoDriver) {
    let (woken, update) = markReadinessState(event, failed: failed, turn: driver.turn)
    if update { reconcile(with: driver) }
    driver.didWake(woken.wake(failed ? .error : .ready))
  }

  private func markReadinessState(
    _ event: IoEventInterest, failed: Bool, turn: UInt64
  ) -> (woken: ReadinessState<Waiter>.Woken, update: Bool) {
    state.withLock { $0.readiness.event(event, turn: turn, stopped: failed) }
  }
}

extension RegistrationInfo: ParkingPlace {
  func park(_ waiter: Waiter, for interest: IoEventInterest) -> Parking {
    state.withLock { state in
      if waiter.isCancelled { return .declined(.cancelled) }
      switch state.readiness.request(interest, key: waiter.task.address, waiter: waiter) {
      case .ready: return .declined(.ready)
      case .ended(.closed): return .declined(.closed)
      case .ended(.shutDown): return .declined(.shutDown)
      case .parked(let update): return update ? .keptUnsettled : .kept
      }
    }
  }

  /// Has the driver arm what is wanted.
  func settle() {
    let home = state.withLock { $0.home }
    home?.update(self)
  }

  func cancelWait(of task: TaskIdentity) {
    let waiter = state.withLock { $0.readiness.cancel(key: task.address) }
    waiter?.wake(.cancelled)
  }
}

extension ReadinessState<Waiter>.Woken {
  /// Wakes them; to be called with no lock held. Returns how many there were.
  @discardableResult
  func wake(_ reason: WakeReason) -> Int {
    guard let first else { return 0 }
    first.wake(reason)
    for waiter in rest { waiter.wake(reason) }
    return 1 + rest.count
  }
}

extension IoEventInterest {
  /// What to make of a report. A failure is "everything": the next try tells. So is, for reading and writing, that the
  /// peer has finished, and whatever was not asked for (newer versions of libuv mix bits up on a hang-up).
  fileprivate init(reported: UInt8, asked: UInt8, failed: Bool) {
    if failed {
      self = .everything
      return
    }
    self.init(rawValue: reported & asked)
    if reported & ~asked != 0 || contains(.peerFinished) { formUnion([.readable, .writable]) }
  }
}
