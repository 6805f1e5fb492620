// SPDX-License-Identifier: Apache-2.0
// One call that blocks: a task waits for it, a thread makes it.

/// What a thread of a pool needs to know of a call.
protocol BlockingWork: AnyObject, Sendable {
  /// Makes the call, if the task still waits for it. Blocks the calling thread.
  func make()
  /// There is no thread for it.
  func refuse(_ error: IoError)
}

/// A call, and the task that waits for its result.
final class BlockingCall<R: Sendable, E: Error>: ParkingPlace, BlockingWork {
  /// What the call returned or threw, unless no thread could be had.
  typealias Answer = Result<Result<R, E>, IoError>

  private struct State {
    var answer: Answer?
    var isAwaited = true
    var hasBegun = false
  }

  private let body: @Sendable () throws(E) -> R
  private let task = TaskIdentity.current
  private let deadline: UInt64
  private let timers: TimerQueue
  private let state = Locked(State())
  #if FaultInjection
    /// The task's, which the thread does not have.
    private let script = Faults.script
  #endif

  /// To be made by the task that will wait.
  init(timers: TimerQueue, deadline: UInt64, _ body: @escaping @Sendable () throws(E) -> R) {
    self.timers = timers
    self.deadline = deadline
    self.body = body
  }

  /// The task waits no longer. Returns the answer if it is there, and whether a thread is at it, or was.
  func leave() -> (answer: Answer?, hasBegun: Bool) {
    state.withLock { state in
      state.isAwaited = false
      return (state.answer, state.hasBegun)
    }
  }

  func make() {
    let begins = state.withLock { state in
      state.hasBegun = state.isAwaited
      return state.isAwaited
    }
    if !begins { return }
    #if FaultInjection
      Faults.$script.withValue(script) { answer(.success(Result(catching: body))) }
    #else
      answer(.success(Result(catching: body)))
    #endif
  }

  func refuse(_ error: IoError) { answer(.failure(error)) }

  func answer(_ answer: Answer) {
    let isAwaited = state.withLock { state in
      state.answer = answer
      return state.isAwaited
    }
    if isAwaited { timers.wakeEarly(task, waitingFor: deadline) }
  }

  // The task is kept among the timers, for its deadline. An answer comes before that, under this lock, or finds it there.

  func park(_ waiter: Waiter, for request: Void) -> Parking {
    state.withLock { $0.answer == nil ? timers.park(waiter, for: deadline) : .declined(.ready) }
  }

  func settle() { timers.settle() }

  func cancelWait(of task: TaskIdentity) { timers.cancelWait(of: task) }
}
