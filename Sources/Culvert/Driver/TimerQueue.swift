// SPDX-License-Identifier: Apache-2.0
// The timers of one worker: our own heap in nanoseconds, over the one timer that its loop has.

import Synchronization

/// Something that is to happen at a time, with no task that waits for it.
protocol TimedAction: AnyObject, Sendable {
  /// The time has come (`.ready`), or will never be told (`.shutDown`). Called once, on the worker's thread or on the one
  /// that ends it, with no lock held.
  func timeHasCome(_ reason: WakeReason)
}

/// A place whose waits can be given up for want of time.
protocol TimedPlace: AnyObject, Sendable {
  /// Takes that task's waiter out, unwoken; `nil` when it does not wait here.
  func takeWaiter(of task: TaskIdentity) -> Waiter?
}

/// Where tasks wait for a time. A deadline is a reading of `now`. Safe from any thread.
final class TimerQueue: ParkingPlace {
  /// No deadline.
  static let never = UInt64.max
  /// When to look again whether a task waits that should have been woken: in 1 ms.
  private static let putOff: UInt64 = 1_000_000

  private let state = Locked(State())
  /// The earliest deadline, to be read without the lock; `never` when there is none.
  private let published = Atomic<UInt64>(TimerQueue.never)
  /// Ends the loop's poll, so that it looks at the deadlines again.
  private let ring: @Sendable () -> Void
  /// In tests only.
  private let virtual: VirtualTime?

  private enum Entry {
    case waiter(Waiter)
    case action(any TimedAction)
    /// A task that waits somewhere else, but not longer than until then.
    case limit(any TimedPlace, TaskIdentity)

    func wake(_ reason: WakeReason) {
      switch self {
      case .waiter(let waiter): waiter.wake(reason)
      case .action(let action): action.timeHasCome(reason)
      case .limit(let place, let task): place.takeWaiter(of: task)?.wake(reason)
      }
    }
  }

  private struct State {
    var heap = TimerHeap<Entry>()
    var isClosed = false
  }

  /// `ring` is called from any thread, when the earliest deadline has become an earlier one.
  init(_ virtual: VirtualTime? = nil, ring: @escaping @Sendable () -> Void) {
    self.virtual = virtual
    self.ring = ring
  }

  /// A reading of `MonotonicTime`, but in tests that would not wait for it.
  var now: UInt64 {
    guard let virtual else { return MonotonicTime.now }
    return virtual.now
  }
  /// Whether the time moves only when it is moved.
  var isVirtual: Bool { virtual != nil }

  /// The deadline `duration` from now, as `MonotonicTime.after`.
  func deadline(after duration: Duration) -> UInt64 { MonotonicTime.after(duration, from: now) }
  func deadline(after nanoseconds: UInt64) -> UInt64 {
    MonotonicTime.after(nanoseconds: nanoseconds, from: now)
  }

  var earliest: UInt64 { published.load(ordering: .acquiring) }
  var count: Int { state.withLock { $0.heap.count } }

  func park(_ waiter: Waiter, for deadline: UInt64) -> Parking {
    state.withLock { state in
      if state.isClosed { return .declined(.shutDown) }
      if waiter.isCancelled { return .declined(.cancelled) }
      state.heap.insert(.waiter(waiter), key: waiter.task.address, deadline: deadline)
      return publish(state) ? .keptUnsettled : .kept
    }
  }

  func settle() { ring() }

  func cancelWait(of task: TaskIdentity) { remove(task.address)?.wake(.cancelled) }

  /// Has `action` told when `deadline` has come, unless it is removed before; false when nobody would.
  func add(_ action: any TimedAction, at deadline: UInt64) -> Bool {
    insert(.action(action), key: Self.key(action), deadline)
  }

  /// An action whose time has come meanwhile may be under way.
  func remove(_ action: any TimedAction) { _ = remove(Self.key(action)) }

  /// Wakes `task` with `.timedOut` if it waits at `place` when `deadline` has come; false when nobody would. To be called by the task,
  /// just before that wait, and to be lifted by it just after.
  func limitWait(of task: TaskIdentity, at place: any TimedPlace, until deadline: UInt64) -> Bool {
    insert(.limit(place, task), key: task.address, deadline)
  }

  /// From here on the limit wakes nobody: a later wait of the task is not meant.
  func liftLimit(of task: TaskIdentity) { _ = remove(task.address) }

  /// An object's address is no task's, as long as both live.
  private static func key(_ action: any TimedAction) -> UInt { UInt(bitPattern: ObjectIdentifier(action)) }

  private func remove(_ key: UInt) -> Entry? {
    state.withLock { state in
      defer { publish(state) }
      return state.heap.remove(key: key)
    }
  }

  private func insert(_ entry: Entry, key: UInt, _ deadline: UInt64) -> Bool {
    let (isKept, isEarliest) = state.withLock { state in
      if state.isClosed { return (false, false) }
      state.heap.insert(entry, key: key, deadline: deadline)
      return (true, publish(state))
    }
    if isEarliest { ring() }
    return isKept
  }

  /// Wakes that task with `.ready` before its time, if it waits for just this deadline.
  func wakeEarly(_ task: TaskIdentity, waitingFor deadline: UInt64) {
    let entry = state.withLock { state in
      defer { publish(state) }
      return state.heap.deadline(of: task.address) == deadline ? state.heap.remove(key: task.address) : nil
    }
    entry?.wake(.ready)
  }

  /// Wakes everybody whose time has come.
  func expire() {
    while let (entry, reason) = popDue(at: now) { entry?.wake(reason) }
  }

  /// Wakes everybody with `.shutDown`, and whoever comes later.
  func close() {
    let entries = state.withLock { state in
      state.isClosed = true
      defer { publish(state) }
      return state.heap.removeAll()
    }
    for entry in entries { entry.wake(.shutDown) }
  }

  /// What is due first, and with what to wake it; no entry for one that has been put off.
  private func popDue(at now: UInt64) -> (Entry?, WakeReason)? {
    state.withLock { state in
      defer { publish(state) }
      guard let entry = state.heap.popDue(at: now) else { return nil }
      guard case .limit(let place, let task) = entry else { return (entry, .ready) }
      // Taken out of its place with this lock held: when the limit has been lifted no wait can be meant.
      if let waiter = place.takeWaiter(of: task) { return (.waiter(waiter), .timedOut) }
      // It does not wait yet, or no more. Who lifts the limit knows.
      state.heap.insert(entry, key: task.address, deadline: now + Self.putOff)
      return (nil, .ready)
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
  /// Set once, by `init`.
  private var timer: UvTimer?
  /// The deadline that `timer` is set for.
  private var armed = TimerQueue.never

  init(_ loop: UvLoop, _ queue: TimerQueue) {
    self.queue = queue
    timer = UvTimer(loop) { [unowned self] in ring() }
  }

  /// To be called before each poll.
  func set() {
    let earliest = queue.earliest
    if earliest == armed { return }
    if queue.isVirtual { return queue.expire() }
    if earliest == TimerQueue.never {
      timer?.stop()
    } else {
      let now = MonotonicTime.now
      // What is due rings in the next poll, or within a millisecond. Set for another one that is due, it would ring later,
      // and so on with each that comes or goes.
      if armed <= now, earliest <= now { return }
      timer?.start(nanoseconds: earliest > now ? earliest - now : 0)
    }
    armed = earliest
  }

  /// The timer has run. That may be too early, for loop time has no fractions of a millisecond; and it may be after `set`,
  /// before the poll, which would then wait for no timer.
  private func ring() {
    armed = TimerQueue.never
    queue.expire()
    set()
  }
}
