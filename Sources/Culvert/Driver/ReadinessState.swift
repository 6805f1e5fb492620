// SPDX-License-Identifier: Apache-2.0
// What is known about one descriptor, and who waits: events in, actions out.
// Pure: no lock, no libuv, no clock, and it resumes nobody. RegistrationInfo keeps one under its lock and carries
// out what it answers; a test explores all interleavings of it.
//
// Polling is level-triggered, so a direction that is armed reports again and again. Hence:
// - A direction is armed when somebody first waits for it, and stays armed while readers come back (`wanted`).
// - An event that finds no waiter ends that. So steady traffic costs no epoll_ctl, and an unread socket no spin.
// - No event can be lost: whoever parks on a direction that is not armed has it armed, and it reports again.

/// The readiness of one descriptor; `Waiter` is whatever the owner wakes a task with, and `cancel` finds it by its `id`.
struct ReadinessState<Waiter: Identifiable> {
  /// Why nobody can wait here any more.
  enum Ending: Equatable { case closed, shutDown }

  enum Request {
    /// These directions are ready as far as is known: try.
    case ready(IoEventInterest)
    /// The waiter is kept. The driver must be told of `wanted` when `update` is true.
    case parked(update: Bool)
    case ended(Ending)
  }

  /// First come, first woken. The first is inline, so one waiter costs no allocation.
  private var first: Parked?
  // Small ones, where the first leaves room for them.

  /// Cached: true means "try first". Starts set, a would-block clears it, an event sets it.
  private(set) var ready: IoEventInterest = [.readable, .writable]
  /// The directions that the driver should keep armed. It asks for this when it acts, never for an older copy.
  private(set) var wanted: IoEventInterest = []
  private(set) var ending: Ending?
  /// The directions woken in the driver's current turn. libuv polls again within a turn while its event array is
  /// full, before any job has run: those repeats find no waiter, and mean nothing.
  private var wokenThisTurn: IoEventInterest = []
  private var turn: UInt8 = 0
  private var rest: [Parked] = []

  fileprivate struct Parked {
    let waiter: Waiter
    let interest: IoEventInterest
  }

  /// The waiters to wake, in the order they came.
  struct Woken {
    fileprivate(set) var first: Waiter?
    /// `nil` when there is no second.
    fileprivate(set) var rest: [Waiter]?

    var all: [Waiter] { (first.map { [$0] } ?? []) + (rest ?? []) }

    fileprivate mutating func append(_ waiter: Waiter) {
      if first == nil { first = waiter } else { rest = (rest ?? []) + [waiter] }
    }
  }

  /// Somebody wants to wait for any of `interest`.
  mutating func request(_ interest: IoEventInterest, _ waiter: Waiter) -> Request {
    if let ending { return .ended(ending) }
    let now = ready.intersection(interest)
    if !now.isEmpty { return .ready(now) }
    let parked = Parked(waiter: waiter, interest: interest)
    if first == nil { first = parked } else { rest.append(parked) }
    let update = !wanted.isSuperset(of: interest)
    wanted.formUnion(interest)
    return .parked(update: update)
  }

  /// A try would have blocked. That the peer has finished is never taken back.
  mutating func clear(_ interest: IoEventInterest) {
    ready.subtract(interest.subtracting(.peerFinished))
  }

  /// The loop reported `events` in its turn number `turn`; `stopped` when it has disarmed the handle on its own.
  /// The driver must be told of `wanted` when `update` is true.
  ///
  /// Two turns with one number, 256 apart, are taken for one: a direction for which nobody has come is then reported once more.
  mutating func event(
    _ events: IoEventInterest, turn: UInt8, stopped: Bool
  ) -> (woken: Woken, update: Bool) {
    if turn != self.turn {
      self.turn = turn
      wokenThisTurn = []
    }
    // An error wakes everybody, but tells of no direction; and that the peer has finished could not be taken back.
    ready.formUnion(stopped ? events.subtracting(.peerFinished) : events)
    let (woken, directions) = take { $0.intersection(events) }
    wokenThisTurn.formUnion(directions)
    if stopped {
      // Nothing is armed now. Whoever was not woken (none, when all directions are reported) is armed anew.
      wanted = first == nil ? [] : waitedFor
      return (woken, !wanted.isEmpty)
    }
    let nobodyCame = events.subtracting(wokenThisTurn).union(events.intersection(.peerFinished))
    let update = !wanted.isDisjoint(with: nobodyCame)
    wanted.subtract(nobodyCame)
    return (woken, update)
  }

  /// That waiter no longer wants to wait. The direction stays armed until an event finds nobody.
  mutating func cancel(_ id: Waiter.ID) -> Waiter? {
    if let found = first, found.waiter.id == id {
      first = rest.isEmpty ? nil : rest.removeFirst()
      return found.waiter
    }
    guard let index = rest.firstIndex(where: { $0.waiter.id == id }) else { return nil }
    return rest.remove(at: index).waiter
  }

  /// Sends every waiter away; the next one is armed anew. For a wait that could not be set up.
  mutating func dismiss() -> Woken {
    wanted = []
    return take { $0 }.woken
  }

  /// Sends on who waits for `interest`, though nothing was reported: they are to look again. What is armed stays so
  /// until an event finds nobody, as after `cancel`.
  mutating func nudge(_ interest: IoEventInterest) -> Woken {
    ready.formUnion(interest)
    return take { $0.intersection(interest) }.woken
  }

  /// Nobody can wait here any more; the first reason stays.
  mutating func end(_ reason: Ending) -> Woken {
    if ending == nil { ending = reason }
    return dismiss()
  }

  /// Who waits for what, in the order they came.
  var waiting: [(waiter: Waiter, interest: IoEventInterest)] {
    ([first].compactMap { $0 } + rest).map { ($0.waiter, $0.interest) }
  }

  /// The directions that somebody waits for.
  var waitedFor: IoEventInterest {
    rest.reduce(first?.interest ?? []) { $0.union($1.interest) }
  }

  /// Removes the waiters for whom `wake` gives any direction, and says which directions they were given.
  private mutating func take(
    _ wake: (IoEventInterest) -> IoEventInterest
  ) -> (woken: Woken, directions: IoEventInterest) {
    var woken = Woken()
    guard let parked = first else { return (woken, []) }
    var directions = wake(parked.interest)
    if !directions.isEmpty {
      woken.first = parked.waiter
      first = nil
    }
    if !rest.isEmpty { takeFromRest(wake, &woken, &directions) }
    return (woken, directions)
  }

  private mutating func takeFromRest(
    _ wake: (IoEventInterest) -> IoEventInterest, _ woken: inout Woken, _ directions: inout IoEventInterest
  ) {
    rest.removeAll { parked in
      let given = wake(parked.interest)
      if given.isEmpty { return false }
      woken.append(parked.waiter)
      directions.formUnion(given)
      return true
    }
    if first == nil, !rest.isEmpty { first = rest.removeFirst() }
  }
}

// So that a test can tell which states it has seen.
extension ReadinessState: Equatable, Hashable where Waiter: Hashable {}
extension ReadinessState.Parked: Equatable, Hashable where Waiter: Hashable {}
