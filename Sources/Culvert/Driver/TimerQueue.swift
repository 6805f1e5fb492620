// SPDX-License-Identifier: Apache-2.0
// The timers of one worker: our own heap in nanoseconds, over the one timer that its loop has.

import Synchronization

/// Where tasks wait for a time. A deadline is a reading of `MonotonicTime`. Safe from any thread.
final class TimerQueue: ParkingPlace {
  /// No deadline.
  static let never = UInt64.max

  private let state = Locked(State())
  /// The earliest deadline, to be read without the lock; `never` when there is none.
  private let published = Atomic<UInt64>(TimerQueue.never)
  /// Ends the loop's poll, so that it looks at the deadlines again.
  private let ring: @Sendable () -> Void

  private struct State {
    var heap = TimerHeap<Waiter>()
    var isClosed = false
  }

  /// `ring` is called from any thread, when the earliest deadline has become an earlier one.
  init(ring: @escaping @Sendable () -> Void) {
    self.ring = ring
  }

  var earliest: UInt64 { published.load(ordering: .acquiring) }
  var count: Int { state.withLock { $0.heap.count } }

  func park(_ waiter: Waiter, for deadline: UInt64) -> Parking {
    state.withLock { state in
      if state.isClosed { return .declined(.shutDown) }
      if waiter.isCancelled { return .declined(.cancelled) }
      state.heap.insert(waiter, key: waiter.task.address, deadline: deadline)
      return publish(state) ? .keptUnsettled : .kept
    }
  }

  func settle() { ring() }

  func cancelWait(of task: TaskIdentity) {
    let waiter = state.withLock { state in
      defer { publish(state) }
      return state.heap.remove(key: task.address)
    }
    waiter?.wake(.cancelled)
  }

  /// Wakes that task with `.ready` before its time, if it waits for just this deadline.
  func wakeEarly(_ task: TaskIdentity, waitingFor deadline: UInt64) {
    let waiter = state.withLock { state in
      defer { publish(state) }
      return state.heap.deadline(of: task.address) == deadline ? state.heap.remove(key: task.address) : nil
    }
    waiter?.wake(.ready)
  }

  /// Wakes everybody whose time has come.
  func expire() {
    while let waiter = popDue(at: MonotonicTime.now) { waiter.wake(.ready) }
  }

  /// Wakes everybody with `.shutDown`, and whoever comes later.
  func close() {
    let waiters = state.withLock { state in
      state.isClosed = true
      defer { publish(state) }
      return state.heap.removeAll()
    }
    for waiter in waiters { waiter.wake(.shutDown) }
  }

  private func popDue(at now: UInt64) -> Waiter? {
    state.withLock { state in
      defer { publish(state) }
      return state.heap.popDue(at: now)
    }
  }

  /// Under the lock. True when the earliest deadline is earlier than it was.
  @discardableResult
  private func publish(_ state: State) -> Bool {
    let earliest = state.heap.earliest ?? Self.never
    return earliest < published.exchange(earliest, ordering: .acquiringAndReleasing)
  }
}

/// Wakes the loop when the earliest timer of a queue is due. Worker thread only.
final class Alarm {
  private let queue: TimerQueue
  private let timer: UvTimer
  private let deadline = Deadline()

  /// The deadline that `timer` is set for.
  private final class Deadline {
    var armed = TimerQueue.never
  }

  init(_ loop: UvLoop, _ queue: TimerQueue) {
    self.queue = queue
    timer = UvTimer(loop) { [deadline] in
      deadline.armed = TimerQueue.never
      queue.expire()
    }
  }

  /// To be called before each poll.
  func set() {
    let earliest = queue.earliest
    if earliest == deadline.armed { return }
    deadline.armed = earliest
    if earliest == TimerQueue.never {
      timer.stop()
    } else {
      let now = MonotonicTime.now
      timer.start(nanoseconds: earliest > now ? earliest - now : 0)
    }
  }
}
