// SPDX-License-Identifier: Apache-2.0
// How a task waits, for anything. With TaskOwner, the only cancellation handlers of the library.
//
// A place where tasks can wait (a descriptor, the timers, …) keeps its waiters under its own lock. Cancellation is
// an event like any other, and may come first:
// - A handler around each wait costs some 1,600 instructions. So a task that the runtime made has one for its
//   whole life (TaskOwner), and its waits only note where they park.
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
  /// The wait could not be set up, for this error number.
  case failed(Int32)
}

/// A task's address: who waits, and who is being cancelled. Never followed.
struct TaskIdentity: Hashable, Sendable {
  let address: UInt
  static var current: TaskIdentity { unsafe TaskIdentity(address: UInt(bitPattern: culvert_current_task())) }
  static let none = TaskIdentity(address: 0)
}

/// A suspended task. Wake it once.
struct Waiter {
  let task: TaskIdentity
  fileprivate let suspension: Suspension
  fileprivate let hasOwnHandler: Bool

  /// To be asked under the place's lock, by the waiting task itself, before the waiter is kept there.
  var isCancelled: Bool { hasOwnHandler && Task.isCancelled }

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
  /// Wakes that task with `.cancelled` if it waits here. Safe from any thread.
  func cancelWait(of task: TaskIdentity)
}

extension ParkingPlace {
  func settle() {}

  /// Suspends the current task until somebody wakes it, or it is cancelled.
  @inline(__always)
  func wait(for request: Request) async -> WakeReason {
    let task = TaskIdentity.current
    if let owner = TaskOwner.current, owner.owns(task) {
      return await Suspension.suspend { suspension in
        let waiter = Waiter(task: task, suspension: suspension, hasOwnHandler: false)
        finish(waiter, owner.park(waiter, at: self, for: request))
      }
    }
    return await waitWithOwnHandler(for: request, task)
  }

  /// As `wait`, whether the task is cancelled or not: for an end that must not be left half-way.
  func waitThoughCancelled(for request: Request) async -> WakeReason {
    await Suspension.suspend { suspension in
      let waiter = Waiter(task: .current, suspension: suspension, hasOwnHandler: false)
      finish(waiter, park(waiter, for: request))
    }
  }

  private func waitWithOwnHandler(for request: Request, _ task: TaskIdentity) async -> WakeReason {
    await withTaskCancellationHandler {
      await Suspension.suspend { suspension in
        let waiter = Waiter(task: task, suspension: suspension, hasOwnHandler: true)
        finish(waiter, park(waiter, for: request))
      }
    } onCancel: {
      cancelWait(of: task)
    }
  }

  private func finish(_ waiter: Waiter, _ parking: Parking) {
    switch parking {
    case .kept: break
    case .keptUnsettled: settle()
    case .declined(let reason): waiter.wake(reason)
    }
  }
}
