// SPDX-License-Identifier: Apache-2.0
// Hazard 37: who shares a worker with whom, and how long that makes anybody wait. Counted in turns of the loop, for a turn
// is bounded: each task that was ready runs one job, and a job makes at most `Limits.callsPerJob` calls.
import CCulvert
import CulvertTesting
import Testing

@testable import Culvert

@Suite(.enabled(if: descriptorLimit > 8_000, "needs 2,100 descriptors"), .timeLimit(watchdog))
struct FairnessTests {
  /// What a turn after the one in which something happened may still pass before it is dealt with.
  static let mostTurns: UInt64 = 2
  static let quietPeers = 999

  /// Computes for as long as a careful task does without giving way.
  private static func compute(_ seed: UInt64) -> UInt64 {
    (0..<2_000).reduce(seed) { ($0 ^ $1) &* 0x9E37_79B9_7F4A_7C15 }
  }

  @Test
  func
    `hazard 37: beside a flooding peer and a computing task, quiet peers and a timer wait two turns at most`()
    async throws
  {
    try await withRuntime(workers: 2) { runtime in
      let worker = runtime.workers[0]
      let rounds = rounds(ci: 20, stress: 500)
      let (flooder, flooded) = try await TcpStream.loopbackPair()
      let flood = runtime.spawn(on: runtime.workers[1]) {
        let block = [UInt8](repeating: 1, count: 65_536)
        while true { try await flooder.write(block) }
      }
      let received = Tally()
      let sink = runtime.spawn(on: worker) {
        while let some = try await flooded.read(upTo: 4096) { received.add(some.count) }
      }

      // The first turn in which the timer was overdue, as the computing task sees it in every turn. (A sleep may take
      // 2 ms more than it should: the loop counts milliseconds.)
      let timer = Locked((overdue: UInt64.max, dueTurn: UInt64.max))
      let computing = runtime.spawn(on: worker) {
        var value: UInt64 = 1
        while !Task.isCancelled {
          value = Self.compute(value)
          timer.withLock { timer in
            if timer.dueTurn == .max, MonotonicTime.now >= timer.overdue {
              timer.dueTurn = worker.driver.turn
            }
          }
          await Task.yield()
        }
        return value
      }
      let lateness = runtime.spawn(on: worker) {
        var worst: UInt64 = 0
        for _ in 0..<rounds {
          timer.withLock { $0 = (MonotonicTime.after(.milliseconds(12)), .max) }
          try await sleep(for: .milliseconds(10))
          let (turn, due) = (worker.driver.turn, timer.withLock { $0.dueTurn })
          if due < turn { worst = max(worst, turn - due) }
        }
        return worst
      }

      let pairs = try (0..<Self.quietPeers).map { _ in try socketPair() }
      let asked = Locked<UInt64>(0)
      let waited = Locked<UInt64>(0)
      let served = Tally()
      let quiet = try pairs.map { pair in
        let bridge = try BridgedFd(adopting: pair.0)
        return runtime.spawn(on: worker) {
          for _ in 0..<rounds {
            _ = try await bridge.asyncCall(.readable, readByte)
            let gap = worker.driver.turn - asked.withLock { $0 }
            waited.withLock { $0 = max($0, gap) }
            served.add()
          }
        }
      }
      let peers = runtime.spawn(on: worker) {
        for round in 1...rounds {
          asked.withLock { $0 = worker.driver.turn }
          for pair in pairs { #expect(writeByte(pair.1)) }
          try await served.reached(round * pairs.count)
        }
      }
      try await peers.value
      for task in quiet { try await task.value }
      #expect(waited.withLock { $0 } <= Self.mostTurns)
      #expect(try await lateness.value <= Self.mostTurns)
      // The flood was one, and goes on.
      let soFar = received.value
      #expect(soFar > 100_000)
      try await received.reached(soFar + 100_000)
      computing.cancel()
      flood.cancel()
      _ = try await computing.value
      flooder.close()
      _ = await flood.result
      try await sink.value
      for pair in pairs { close(pair.1) }
    }
  }

  @Test func `hazard 37: of a flood of tasks from another thread no turn runs more than the limits say`()
    async throws
  {
    var limits = Limits()
    limits.jobsPerTurn = 10
    var configuration = Runtime.Configuration(workers: 1)
    configuration.limits = limits
    try await withRuntime(configuration) { runtime in
      let worker = runtime.workers[0]
      let runs = Locked<[UInt64: Int]>([:])
      // Handed in while the worker is busy with this very task: they are there all at once.
      let flood = Monitor<[Task<Void, any Error>]?>(nil)
      Task.detached {
        let tasks = (0..<1_000).map { _ in
          runtime.spawn(on: worker) { runs.withLock { $0[worker.driver.turn, default: 0] += 1 } }
        }
        flood.update { $0 = tasks }
      }
      for task in flood.wait(for: { $0 }) { try await task.value }
      #expect(runs.withLock { $0.values.reduce(0, +) } == 1_000)
      #expect(runs.withLock { $0.values.max() ?? 0 } <= 10)
    }
  }

  @Test(arguments: [1, 61, 100_000])
  func `new jobs of one turn are as many as the limits say`(jobsPerTurn: Int) async throws {
    var limits = Limits()
    limits.jobsPerTurn = jobsPerTurn
    try await onOneWorker(limits: limits) { worker in
      await worker.idle()
      let turn = worker.driver.turn
      // Each of these jobs makes the next one ready; a yield is one or two of them.
      for _ in 0..<1_000 { await Task.yield() }
      let turns = Int(worker.driver.turn - turn)
      #expect((1_000 / jobsPerTurn...2_000 / jobsPerTurn + 1).contains(turns))
    }
  }
}
