// SPDX-License-Identifier: Apache-2.0
// How a task waits, for anything. Cancellation handlers are here, in TaskOwner and in RegistrationInfo+Waiting, and nowhere else.
//
// A place where tasks can wait (a descriptor, the timers, …) keeps its waiters under its own lock. Cancellation is
// an event like any other, and may come first:
// - A handler around each wait costs some 1,600 instructions. So a task that the runtime made has one for its
//   whole life (TaskOwner), and its waits only note where they park. A source that remembers the task, because it parked
//   there last, need not even be told of the owner: who cancels has it forgotten first. Such a task waits in the Lobby.
// - Any other task (a child, a `Task {}`) installs one around the wait. In the lobby it is remembered for that long. Elsewhere the
//   place looks at the task's flag under its lock: the flag is set before the handler runs, so one of the two always sees the other.
// Nothing is resumed under a lock.

import CCulvert

/// Why a wait ended. A number, so that a thread can have it at hand for the task that it runs.
struct WakeReason: Sendable, Equatable {
  let number: Int

  /// 0: what a task finds that goes on elsewhere, for its worker has ended.
  static var shutDown: Self { Self(number: 0) }
  static var ready: Self { Self(number: 1) }
  /// Ready, because the loop saw an error condition: the next try should find it.
  static var error: Self { Self(number: 2) }
  static var cancelled: Self { Self(number: 3) }
  static var closed: Self { Self(number: 4) }
  /// It took longer than it may.
  static var timedOut: Self { Self(number: 5) }
  /// The wait could not be set up, for this error number.
  static func failed(_ errno: Int32) -> Self { Self(number: -Int(errno)) }

  /// Of a wait that could not be set up.
  var errno: Int32? { number < 0 ? Int32(-number) : nil }
}

/// A task's address: who waits, and who is being cancelled. Never followed.
struct TaskIdentity: Hashable, Sendable, CustomStringConvertible {
  let address: UInt
  var description: String { String(address, radix: 16) }
  static var current: TaskIdentity { unsafe TaskIdentity(address: UInt(bitPattern: culvert_current_task())) }
  static let none = TaskIdentity(address: 0)

  // In Swift's runtime a task is its own job.
  init(address: UInt) { self.address = address }
  init(of job: UnownedJob) { address = unsafe unsafeBitCast(job, to: UInt.self) }
  var job: UnownedJob { unsafe unsafeBitCast(address, to: UnownedJob.self) }
}

/// A suspended task. Wake it once.
struct Waiter: Identifiable {
  let task: TaskIdentity
  var id: TaskIdentity { task }
  /// When it began to wait, for reports.
  let since = MonotonicTime.ofTurn
  private let kind: Kind
  /// No owner has asked whether the task is cancelled.
  private let mustAsk: Bool

  private enum Kind {
    case suspension(Suspension)
    /// As a job, in a lobby that outlives the wait.
    case lobby(Unretained<Lobby>)
  }

  fileprivate init(_ task: TaskIdentity, _ suspension: Suspension, mustAsk: Bool) {
    self.task = task
    kind = .suspension(suspension)
    self.mustAsk = mustAsk
  }

  /// The current task no more: it has been suspended.
  @inline(__always)
  init(_ job: UnownedJob, in lobby: Lobby) {
    task = TaskIdentity(of: job)
    kind = .lobby(Unretained(lobby))
    mustAsk = false
  }

  /// To be asked under the place's lock, by the waiting task itself, before the waiter is kept there.
  var isCancelled: Bool { mustAsk && Task.isCancelled }

  /// Nobody has asked, and nobody can, whether the task is cancelled: the place must remember it.
  var mustBeRemembered: Bool {
    if case .lobby = kind { true } else { false }
  }

  @inline(__always)
  func wake(_ reason: WakeReason) {
    switch kind {
    case .suspension(let suspension): suspension.resume(reason)
    case .lobby(let lobby): lobby.with { $0.wake(task, reason) }
    }
  }
}

/// Waiters in the order they came, for a place that keeps them under its own lock.
struct WaiterQueue {
  private var waiters: [Waiter] = []

  var isEmpty: Bool { waiters.isEmpty }

  mutating func append(_ waiter: Waiter) { waiters.append(waiter) }

  mutating func popFirst() -> Waiter? { waiters.isEmpty ? nil : waiters.removeFirst() }

  mutating func remove(_ task: TaskIdentity) -> Waiter? {
    waiters.firstIndex { $0.task == task }.map { waiters.remove(at: $0) }
  }

  mutating func removeAll() -> [Waiter] {
    defer { waiters = [] }
    return waiters
  }
}

/// What a place did with a waiter.
enum Parking {
  case kept
  /// Kept, and `settle` must be called once no lock is held.
  case keptUnsettled
  /// Not kept: the wait is over at once.
  case declined(WakeReason)
}

/// Something that tasks can wait at.
protocol ParkingPlace: AnyObject, Sendable {
  associatedtype Request: Sendable
  /// Keeps the waiter until it is woken, unless the wait is over at once or `waiter.isCancelled`.
  func park(_ waiter: Waiter, for request: Request) -> Parking
  /// Follows a `keptUnsettled`: what may wake others, or reach for another lock.
  func settle()
  /// Wakes that task with `.cancelled` if it waits here, and forgets it. Safe from any thread.
  func cancelWait(of task: TaskIdentity)

  // For places where the same task waits again and again. Both are called by the task itself.

  /// This is where the task's owner has any cancellation sent to, from now on until `forget`.
  func remember(_ task: TaskIdentity)
  func forget(_ task: TaskIdentity)
}

extension ParkingPlace {
  func settle() {}

  func remember(_ task: TaskIdentity) {}
  func forget(_ task: TaskIdentity) {}

  /// Suspends the current task until somebody wakes it, or it is cancelled.
  @inline(__always)
  func wait(for request: Request) async -> WakeReason { await waitLong(for: request) }

  /// By a continuation.
  @inline(never)
  func waitLong(for request: Request) async -> WakeReason {
    let task = TaskIdentity.current
    if let owner = TaskOwner.of(task) {
      return await Suspension.suspend { suspension in
        let waiter = Waiter(task, suspension, mustAsk: false)
        finish(waiter, owner.park(waiter, at: self, for: request))
      }
    }
    return await waitWithOwnHandler(for: request, task)
  }

  /// As `wait`, whether the task is cancelled or not: for an end that must not be left half-way.
  func waitThoughCancelled(for request: Request) async -> WakeReason {
    await Suspension.suspend { suspension in
      let waiter = Waiter(.current, suspension, mustAsk: false)
      finish(waiter, park(waiter, for: request))
    }
  }

  private func waitWithOwnHandler(for request: Request, _ task: TaskIdentity) async -> WakeReason {
    await withTaskCancellationHandler {
      await Suspension.suspend { suspension in
        let waiter = Waiter(task, suspension, mustAsk: true)
        finish(waiter, park(waiter, for: request))
      }
    } onCancel: {
      cancelWait(of: task)
    }
  }

  @inline(__always)
  func finish(_ waiter: Waiter, _ parking: Parking) {
    switch parking {
    case .kept: break
    case .keptUnsettled: settle()
    case .declined(let reason): waiter.wake(reason)
    }
  }
}
