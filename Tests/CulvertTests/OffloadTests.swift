// SPDX-License-Identifier: Apache-2.0
// Calls that block, on threads of a pool: bounded, and nobody waits for them longer than he wants.
import CCulvert
import CulvertTesting
import Testing

@testable import Culvert

private struct Failed: Error {}
private typealias Call = BlockingCall<Int, IoError>

/// Calls that block until they are let go.
private final class HeldCalls: Sendable {
  let begun = Tally()
  private let monitor = Monitor(false)

  func open() { monitor.update { $0 = true } }

  /// Blocks the calling thread.
  func make() -> Int {
    let number = begun.add()
    monitor.wait { isOpen in isOpen ? () : nil }
    return number
  }
}

@Suite(.timeLimit(watchdog)) struct OffloadTests {
  @Test(arguments: Place.allCases)
  func `a call's result and its error come back, and the thread is free meanwhile`(place: Place) async throws
  {
    try await place.run {
      let (held, worker) = (HeldCalls(), Worker.current)
      async let number = offload { held.make() }
      try await held.begun.reached(1)
      held.open()
      #expect(try await number == 1)
      await #expect(throws: Failed.self) { try await offload { throw Failed() } }
      let isElsewhere = try await offload { Worker.current == nil }
      #expect(isElsewhere && Worker.current === worker)
    }
  }

  @Test func `who is cancelled leaves at once, and is told whether the call goes on`() async throws {
    try await withRuntime(workers: 1) { runtime in
      let (held, pool) = (HeldCalls(), BlockingPool(threads: 1, waiting: 1))
      defer { held.open() }
      let body = { @Sendable in try await offload(on: pool) { held.make() } }
      let running = runtime.spawn(body)
      try await held.begun.reached(1)
      let queued = runtime.spawn(body)
      await runtime.workers[0].idle()
      #expect(pool.load == (threads: 1, waiting: 1))
      let error = await thrown { try await body() }
      #expect(error?.description == "offload a call while 1 others are waiting: limit reached")
      for task in [queued, running] { task.cancel() }
      let queuedError = await thrown { try await queued.value }
      #expect(queuedError?.description == "offload a call: the task was cancelled")
      let runningError = await thrown { try await running.value }
      #expect(runningError?.description == "offload a call, which goes on: the task was cancelled")
      #expect(pool.load == (threads: 1, waiting: 0) && held.begun.value == 1)
    }
  }

  @Test func `a time limit ends the waiting`() async throws {
    let held = HeldCalls()
    defer { held.open() }
    let code = await failure {
      try await withTimeout(.milliseconds(5)) { try await offload { held.make() } }
    }
    #expect(code == .timedOut)
  }

  @Test func `many calls at once are all made, by as many threads as there may be`() async throws {
    let pool = BlockingPool(threads: 3, waiting: 1_000)
    let now = Tally()
    try await withRuntime(workers: 2) { _ in
      try await withThrowingDiscardingTaskGroup { group in
        for _ in 0..<500 {
          group.addTask {
            let atOnce = try await offload(on: pool) {
              defer { now.add(-1) }
              return now.add()
            }
            #expect((1...3).contains(atOnce))
          }
        }
      }
    }
    #expect(now.value == 0)
    // The last thread may be about to end.
    while pool.load.threads > 0 { sched_yield() }
    #expect(pool.load == (threads: 0, waiting: 0))
  }

  @Test func `an answer that comes before the wait ends it at once`() async throws {
    let timers = TimerQueue {}
    for isCancelled in [false, true] {
      let task = Task {
        let call = Call(timers: timers, deadline: TimerQueue.never - 1) { 7 }
        call.answer(.success(.success(7)))
        if isCancelled { unsafe withUnsafeCurrentTask { unsafe $0?.cancel() } }
        return (await call.wait(for: ()), call.leave().answer)
      }
      let (reason, answer) = await task.value
      #expect(reason == .ready && answer == .success(.success(7)))
      #expect(timers.count == 0)
    }
  }

  @Test func `the loop is told of a call's deadline, and the answer takes it back`() async throws {
    let rings = Tally()
    let timers = TimerQueue { rings.add() }
    let calls = Locked<[Call]>([])
    let task = Task {
      let call = Call(timers: timers, deadline: TimerQueue.never - 1) { 7 }
      calls.withLock { $0 = [call] }
      return await call.wait(for: ())
    }
    try await rings.reached(1)
    #expect(timers.count == 1)
    calls.withLock { $0 }[0].answer(.success(.success(7)))
    #expect(await task.value == .ready)
    #expect(timers.count == 0)
  }

  @Test func `a call whose task has left before its thread began is not made`() {
    let made = Tally()
    let call = Call(timers: TimerQueue {}, deadline: 0) { made.add() }
    let left = call.leave()
    #expect(left.answer == nil && !left.hasBegun)
    BlockingPool().run(call)
    #expect(made.value == 0)
  }
}
