// SPDX-License-Identifier: Apache-2.0
// How a task waits at a source. On the thread of the source's worker, and in no actor's name, it waits in the lobby. The source
// remembers it then: whoever cancels it has that forgotten first, so a task that is not remembered any more is not kept.
// - A task that waits where it waited last is remembered there already.
// - One that has an owner, and comes from elsewhere, has the owner note the place.
// - Any other (a child, a task that somebody else put on the worker) has a cancellation handler while it waits, and is forgotten afterwards.

import CCulvert
import Synchronization

extension RegistrationInfo {
  /// Suspends the current task until somebody wakes it, or it is cancelled.
  @inline(__always)
  func wait(for interest: IoEventInterest) async -> WakeReason {
    if !Lobby.isOpen(to: #isolation) || !isAtHome { return await waitLong(for: interest) }
    if !isRegular(.current) { return await waitAsNewcomer(for: interest) }
    Lobby.expect(at: self, for: interest)
    return await Lobby.wait()
  }

  /// Whether the current task, if it is in no actor's name, may wait in the lobby, which is told then to expect it; and there is
  /// no limit of time to see to.
  @inline(__always)
  func isOrdinaryWait(for interest: IoEventInterest) -> Bool {
    if !limits.isEmpty || !isAtHome || !isRegular(.current) { return false }
    Lobby.expect(at: self, for: interest)
    return true
  }

  @inline(never)
  private func waitAsNewcomer(for interest: IoEventInterest) async -> WakeReason {
    let task = TaskIdentity.current
    guard let owner = TaskOwner.of(task) else { return await waitWithHandler(for: interest, task) }
    if !owner.moves(to: self, task) { return .cancelled }
    Lobby.expect(at: self, for: interest)
    return await Lobby.wait()
  }

  /// A function of its own: what it takes of the task's memory has to be given back in order.
  @inline(never)
  private func waitWithHandler(for interest: IoEventInterest, _ task: TaskIdentity) async -> WakeReason {
    if Task.isCancelled { return .cancelled }
    remember(task)
    // A cancellation that has come meanwhile has it forgotten here, at once.
    let guarding = unsafe culvert_guard_wait(
      { (place, task) in
        if let place = unsafe place {
          unsafe Unretained<RegistrationInfo>(at: place).with {
            $0.cancelWait(of: TaskIdentity(address: task))
          }
        }
      }, Unretained(self).address, task.address)
    Lobby.expect(at: self, for: interest)
    let reason = await Lobby.wait()
    unsafe culvert_unguard_wait(guarding)
    forget(task)
    return reason
  }

  /// Parks a task that has entered the lobby.
  func admit(_ waiter: Waiter, for interest: IoEventInterest) {
    finish(waiter, park(waiter, for: interest))
  }
}

extension RegistrationInfo: ParkingPlace {
  @inline(__always)
  func park(_ waiter: Waiter, for interest: IoEventInterest) -> Parking {
    withReadiness { readiness in
      if waiter.isCancelled { return .declined(.cancelled) }
      // It has been cancelled since, or may be: that is found out before it waits again.
      if waiter.mustBeRemembered, !isRegular(waiter.task) { return .declined(.ready) }
      switch readiness.request(interest, waiter) {
      case .ready: return .declined(.ready)
      case .ended(.closed): return .declined(.closed)
      case .ended(.shutDown): return .declined(.shutDown)
      case .parked(let update): return update ? .keptUnsettled : .kept
      }
    }
  }

  /// Has the driver arm what is wanted.
  func settle() {
    home?.with { $0.update(self) }
  }

  func cancelWait(of task: TaskIdentity) {
    let waiter = withState { readiness in
      forget(task)
      return readiness.cancel(task)
    }
    waiter?.wake(.cancelled)
  }

  /// The waiter of that task, which waits here no more and has not been woken.
  func takeWaiter(of task: TaskIdentity) -> Waiter? {
    withState { $0.cancel(task) }
  }

  @inline(__always)
  func isRegular(_ task: TaskIdentity) -> Bool { regular.load(ordering: .relaxed) == task.address }

  func remember(_ task: TaskIdentity) {
    if isAtHome { regular.store(task.address, ordering: .relaxed) }
  }

  func forget(_ task: TaskIdentity) {
    _ = regular.compareExchange(expected: task.address, desired: 0, ordering: .relaxed)
  }
}
