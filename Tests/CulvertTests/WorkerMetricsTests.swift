// SPDX-License-Identifier: Apache-2.0
// What a worker counts of itself, and who is told when one is held up.
import CCulvert
import CulvertTesting
import Foundation
import Testing

@testable import Culvert

@Suite(.timeLimit(watchdog)) struct WorkerMetricsTests {
  @Test func `each event counts a wake-up and a job, and arms nothing anew`() async throws {
    try await onOneWorker { worker in
      let (mine, theirs) = try socketPair()
      defer { close(theirs) }
      let bridge = try BridgedFd(adopting: mine)
      let (rounds, got) = (50, Tally())
      let reader = Task(executorPreference: worker) {
        for _ in 0...rounds {
          _ = try await bridge.asyncCall(.readable, readByte)
          bridge.clearReadiness(.readable)
          got.add()
        }
      }
      await worker.idle()
      #expect(writeByte(theirs))
      try await got.reached(1)
      await worker.idle()
      let before = worker.metrics
      #expect(before.descriptors == 1 && before.armedDirections == 1 && before.timers == 0)
      for round in 1...rounds {
        #expect(writeByte(theirs))
        try await got.reached(round + 1)
        await worker.idle()
      }
      let after = worker.metrics
      try await reader.value
      #expect(after.wakeUps - before.wakeUps == UInt64(rounds))
      #expect(after.jobs - before.jobs >= UInt64(rounds))
      #expect(after.turns - before.turns >= UInt64(rounds))
      #expect(after.parks - before.parks >= UInt64(rounds) && after.parks <= after.turns)
      #expect(after.armings == before.armings)
      await bridge.closed()
      let (armings, descriptors) = (worker.metrics.armings, worker.metrics.descriptors)
      #expect(armings >= before.armings && descriptors == 0)
    }
  }

  @Test func `a worker that computes is busy, and one that waits is idle`() async throws {
    let span = Duration.milliseconds(200)
    try await withRuntime(workers: 3) { runtime in
      let (one, other) = (runtime.workers[1], runtime.workers[2])
      await other.idle()
      let (began, before) = (ContinuousClock.now, runtime.metrics)
      try await runtime.spawn(on: one) {
        let start = ContinuousClock.now
        while start.duration(to: .now) < span {}
      }.value
      // It waits now: what it was busy for is over, and stays counted.
      await one.idle()
      let (after, passed) = (runtime.metrics, began.duration(to: .now))
      // The clock that these go by has ticks of up to 10 ms.
      let ticks = Duration.milliseconds(20)
      let busy = after[1].busyTime - before[1].busyTime
      let idle = after[2].idleTime - before[2].idleTime
      #expect(busy >= span - ticks && busy <= passed + ticks, "\(busy)")
      #expect(idle >= span - ticks && idle <= passed + ticks, "\(idle)")
    }
  }

  @Test func `the time in the poll stays counted when the poll is over`() async throws {
    try await withRuntime(workers: 2) { runtime in
      let worker = runtime.workers[1]
      await worker.idle()
      let began = ContinuousClock.now
      while began.duration(to: .now) < .milliseconds(100) {}
      // Asked on the worker itself, which does not wait now: what it waited is over.
      let idle = try await runtime.spawn(on: worker) { worker.metrics.idleTime }.value
      #expect(idle >= .milliseconds(80), "\(idle)")
    }
  }

  @Test func `timers, and jobs that others have left, are told while the worker is held up`() async throws {
    try await withRuntime(workers: 2) { runtime in
      let worker = runtime.workers[1]
      let (started, told) = (Tally(), Tally())
      let sleeper = runtime.spawn(on: worker) { try await sleep(for: .seconds(3600)) }
      await worker.idle()
      let holder = runtime.spawn(on: worker) {
        started.add()
        while told.value == 0 {}
      }
      try await started.reached(1)
      let late = (0..<3).map { _ in runtime.spawn(on: worker) {} }
      let metrics = worker.metrics
      told.add()
      #expect(metrics.timers == 1 && metrics.jobsArrived == 3)
      sleeper.cancel()
      try await holder.value
      for task in late { try await task.value }
    }
  }

  @Test func `the metrics of a worker that has ended stay as they were`() async throws {
    let runtime = try Runtime(Runtime.Configuration(workers: 1))
    try await runtime.spawn {}.value
    await runtime.shutDown()
    let metrics = runtime.metrics[0]
    #expect(metrics.jobs >= 1 && metrics.turns >= 1)
    #expect(metrics.descriptors == 0 && metrics.timers == 0 && metrics.armedDirections == 0)
    #expect(runtime.metrics[0].jobs == metrics.jobs)
  }

  @Test func `a stall is told once, with the task that holds the worker`() async throws {
    try await withRuntime(workers: 2) { runtime in
      let stalls = Locked<[Stall]>([])
      let watch = runtime.spawn(on: runtime.workers[0]) {
        try await runtime.watchStalls(of: .milliseconds(50)) { stall in stalls.withLock { $0.append(stall) } }
      }
      @Sendable func told(of task: TaskIdentity) -> [Stall] {
        stalls.withLock { $0.filter { $0.task == "\(task)" } }
      }
      var wasTold = false
      // A machine that takes the thread away in the turn before the task began makes a stall of its own, which is told.
      for _ in 1...10 where !wasTold {
        let holder = try await runtime.spawn(on: runtime.workers[1]) {
          let (task, began) = (TaskIdentity.current, ContinuousClock.now)
          while told(of: task).isEmpty, began.duration(to: .now) < .seconds(2) {}
          // Some looks more: told once is told.
          let heard = ContinuousClock.now
          while heard.duration(to: .now) < .milliseconds(150) {}
          return task
        }.value
        if let stall = told(of: holder).first {
          #expect(told(of: holder).count == 1 && stall.worker == 1)
          #expect(stall.duration >= .milliseconds(40))
          wasTold = true
        }
      }
      #expect(wasTold)
      watch.cancel()
      try await watch.value
    }
  }

  @Test func `the watch for stalls ends with the runtime`() async throws {
    let runtime = try Runtime(Runtime.Configuration(workers: 1))
    await runtime.shutDown()
    try await runtime.watchStalls { Issue.record("\($0)") }
  }
}
