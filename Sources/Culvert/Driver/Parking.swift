// SPDX-License-Identifier: Apache-2.0
// How a task waits, for anything. With TaskOwner, the only cancellation handlers of the library.
//
// A place where tasks can wait (a descriptor, the timers, …) keeps its waiters under its own lock. Cancellation is
// an event like any other, and may come first:
// - A handler around each wait costs some 1,600 instructions. So a task that the runtime made has one for its
//   whole life (TaskOwner), and its waits only note where they park. A place that remembers the task, because it parked
//   there last, need not even be told of the owner: who cancels has it forgotten first.
// - Any other task (a child, a `Task {}`) installs one around the wait. The place then looks at the task's flag
//   under its lock: the flag is set before the handler runs, so one of the two always sees the other.
// Nothing is resumed under a lock.

import CCulvert

/// Why a wait ended.
enum WakeReason: Sendable, Equatable {
  case ready
  /// Ready, because the loop saw an error condition: the next try should find it.
  case error
  case cancelled
  case closed
  case shutDown
  /// It took longer than it may.
  case timedOut
  /// The wait could not be set up, for this error number.
  case failed(Int32)
}

/// A task's address: who waits, and who is being cancelled. Never followed.
struct TaskIdentity: Hashable, Sendable, CustomStringConvertible {
  let address: UInt
  var description: String { String(address, radix: 16) }
  static var current: TaskIdentity { unsafe TaskIdentity(address: UInt(bitPattern: culvert_current_task())) }
  static let none = TaskIdentity(address: 0)
}

/// A suspended task. Wake it once.
struct Waiter {
  let task: TaskIdentity
  /// When it began to wait, for reports.
  let since = MonotonicTime.ofTurn
  fileprivate let suspension: Suspension
  /// No owner has asked whether the task is cancelled.
  fileprivate let mustAsk: Bool

  /// To be asked under the place's lock, by the waiting task itself, before the waiter is kept there.
  var isCancelled: Bool { mustAsk && Task.isCancelled }

  func wake(_ reason: WakeReason) { suspension.resume(reason) }
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

  // For places where the same task waits again and again. All three are called by the task itself.

  /// Whether the task is remembered here. If it is when `park` asks again, under the lock, its cancellation comes here later.
  func isRegular(_ task: TaskIdentity) -> Bool
  /// This is where the task's owner has any cancellation sent to, from now on until `forget`.
  func remember(_ task: TaskIdentity)
  func forget(_ task: TaskIdentity)
}

extension ParkingPlace {
  func settle() {}

  @inline(__always)
  func isRegular(_ task: TaskIdentity) -> Bool { false }
  func remember(_ task: TaskIdentity) {}
  func forget(_ task: TaskIdentity) {}

  /// Suspends the current task until somebody wakes it, or it is cancelled.
  @inline(__always)
  func wait(for request: Request) async -> WakeReason {
    let task = TaskIdentity.current
    if isRegular(task) {
      return await Suspension.suspend { parkRegular($0, for: request) }
    }
    return await waitElsewhere(for: request, task)
  }

  /// As `wait`, for a task of which `isRegular` has been true, from within its suspension.
  @inline(__always)
  func parkRegular(_ suspension: Suspension, for request: Request) {
    let waiter = Waiter(task: .current, suspension: suspension, mustAsk: true)
    finish(waiter, park(waiter, for: request))
  }

  /// For a task that is not remembered here.
  @inline(never)
  private func waitElsewhere(for request: Request, _ task: TaskIdentity) async -> WakeReason {
    if let owner = TaskOwner.of(task) {
      return await Suspension.suspend { suspension in
        let waiter = Waiter(task: task, suspension: suspension, mustAsk: false)
        finish(waiter, owner.park(waiter, at: self, for: request))
      }
    }
    return await waitWithOwnHandler(for: request, task)
  }

  /// As `wait`, whether the task is cancelled or not: for an end that must not be left half-way.
  func waitThoughCancelled(for request: Request) async -> WakeReason {
    await Suspension.suspend { suspension in
      let waiter = Waiter(task: .current, suspension: suspension, mustAsk: false)
      finish(waiter, park(waiter, for: request))
    }
  }

  private func waitWithOwnHandler(for request: Request, _ task: TaskIdentity) async -> WakeReason {
    await withTaskCancellationHandler {
      await Suspension.suspend { suspension in
        let waiter = Waiter(task: task, suspension: suspension, mustAsk: true)
        finish(waiter, park(waiter, for: request))
      }
    } onCancel: {
      cancelWait(of: task)
    }
  }

  @inline(__always)
  private func finish(_ waiter: Waiter, _ parking: Parking) {
    switch parking {
    case .kept: break
    case .keptUnsettled: settle()
    case .declined(let reason): waiter.wake(reason)
    }
  }
}
