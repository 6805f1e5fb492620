// SPDX-License-Identifier: Apache-2.0
import CCulvert
import CulvertTesting
import Testing

@testable import Culvert

/// An actor that lives on a worker.
private actor Counter {
  private let worker: Worker
  private(set) var count = 0
  init(on worker: Worker) { self.worker = worker }
  nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe worker.serial.asUnownedSerialExecutor() }

  func add() { count += 1 }
  func addOnWorker() -> Bool {
    count += 1
    return Worker.current === worker
  }
  nonisolated func addInCallback() { assumeIsolated { $0.count += 1 } }
}

@Suite(.timeLimit(watchdog)) struct WorkerTests {
  @Test func `tasks of a runtime run on its workers, and stay there over every wait`() async throws {
    try await withRuntime(workers: 3) { runtime in
      for worker in runtime.workers {
        let stayed = try await runtime.spawn(on: worker) {
          var here = Worker.current === worker
          try await sleep(for: .milliseconds(1))
          here = here && Worker.current === worker
          await Task.yield()
          here = here && Worker.current === worker
          async let child = Worker.current === worker
          return await child && here
        }.value
        #expect(stayed)
      }
    }
  }

  @Test func `spawn gives each worker its share`() async throws {
    try await withRuntime(workers: 4) { runtime in
      var indexes: [Int: Int] = [:]
      for _ in 0..<40 {
        let index = try await runtime.spawn { Worker.current?.index ?? -1 }.value
        indexes[index, default: 0] += 1
      }
      #expect(indexes == [0: 10, 1: 10, 2: 10, 3: 10])
    }
  }

  @Test func `an actor with a worker's executor runs there, and assumeIsolated holds there`() async throws {
    try await withRuntime(workers: 2) { runtime in
      let worker = runtime.workers[1]
      let counter = Counter(on: worker)
      #expect(await counter.addOnWorker())
      try await runtime.spawn(on: worker) { counter.addInCallback() }.value
      #expect(await counter.count == 2)
    }
  }

  @Test func `an actor counts to a million from many tasks, exactly, across the end of its runtime`()
    async throws
  {
    let runtime = try Runtime(Runtime.Configuration(workers: 2))
    let counter = Counter(on: runtime.workers[1])
    let progress = Tally()
    let tasks = (0..<20).map { index in
      let body: @Sendable () async -> Void = {
        for _ in 0..<50_000 {
          await counter.add()
          progress.add()
        }
      }
      // Some on workers that end below, some on the global executor.
      return index % 2 == 0
        ? Task(executorPreference: runtime.workers[index / 2 % 2]) { await body() } : Task { await body() }
    }
    try await progress.reached(100_000)
    await runtime.shutDown()
    #expect(await counter.count < 1_000_000)
    for task in tasks { await task.value }
    #expect(await counter.count == 1_000_000)
  }

  @Test func `a source that is always ready lets others run, after as many calls as the limits say`()
    async throws
  {
    var limits = Limits()
    limits.callsPerJob = 10
    try await onOneWorker(limits: limits) { worker in
      let (mine, theirs) = try socketPair()
      defer { close(theirs) }
      let bridge = try BridgedFd(adopting: mine)
      let others = Tally()
      let other = Task(executorPreference: worker) {
        while !Task.isCancelled {
          others.add()
          await Task.yield()
        }
      }
      for _ in 0..<1_000 { _ = try await bridge.asyncCall(.writable) { (_) throws(IoError) in 1 } }
      other.cancel()
      #expect((90...200).contains(others.value))
    }
  }

  @Test func `jobs that other threads leave are all run`() async throws {
    let total = Tally()
    try await withRuntime(workers: 2) { runtime in
      await withDiscardingTaskGroup { group in
        for index in 0..<8 {
          group.addTask {
            for _ in 0..<2_000 {
              await Task(executorPreference: runtime.workers[index % 2]) { _ = total.add() }.value
            }
          }
        }
      }
    }
    #expect(total.value == 16_000)
  }

  @Test func `a job that a timer makes ready does not wait for the poll`() async throws {
    var limits = Limits()
    limits.jobsPerTurn = 1
    try await onOneWorker(limits: limits) { worker in
      for _ in 0..<300 { try await sleep(for: .microseconds(10)) }
      // Set in one turn, and due when the next job is done: it fires when the turn after that begins, before its poll.
      await worker.idle()
      try await Task(executorPreference: worker) {
        let sleeper = Task(executorPreference: worker) { try await sleep(for: .milliseconds(1)) }
        let busy = Task(executorPreference: worker) {
          await Task.yield()
          let start = ContinuousClock.now
          while ContinuousClock.now - start < .milliseconds(5) {}
        }
        try await sleeper.value
        await busy.value
      }.value
    }
  }

  @Test(.enabled(if: descriptorLimit > 8_000, "needs 8,000 descriptors"))
  func `3,000 sockets made ready at once, 100 rounds: all served, and none is armed again`() async throws {
    let rounds = 100
    let count = 3_000
    try await onOneWorker { worker in
      let pairs = try (0..<count).map { _ in try socketPair() }
      defer { for pair in pairs { close(pair.1) } }
      let served = Tally()
      let readers = try pairs.map { pair in
        let bridge = try BridgedFd(adopting: pair.0)
        return Task(executorPreference: worker) {
          for round in 0..<rounds {
            guard try await bridge.asyncCall(.readable, readByte) == round else { return false }
            served.add()
          }
          return true
        }
      }
      await worker.idle()
      let armings = worker.driver.armings
      #expect(armings == UInt64(count))
      for round in 0..<rounds {
        if round == rounds - 1 { #expect(worker.driver.armings == armings) }
        // Without a suspension in between: the loop finds them ready all at once.
        for pair in pairs { #expect(writeByte(pair.1, UInt8(round))) }
        try await served.reached((round + 1) * count)
      }
      for reader in readers { #expect(try await reader.value) }
    }
  }

  @Test(.enabled(if: descriptorLimit > 8_000, "needs 8,000 descriptors"))
  func `idle sockets cost no turns of the loop, silent ones or with unread bytes`() async throws {
    let runtime = try Runtime(Runtime.Configuration(workers: 1))
    let worker = runtime.workers[0]
    let pairs = try (0..<1_100).map { _ in try socketPair() }
    let bridges = try pairs.map { try BridgedFd(adopting: $0.0) }
    // Each has waited once, and so is armed.
    let waits = bridges.map { bridge in runtime.spawn { try await bridge.asyncCall(.readable, readByte) } }
    for (pair, wait) in zip(pairs, waits) {
      _ = writeByte(pair.1)
      #expect(try await wait.value == 1)
    }
    // A second byte in all but one hundred, which nobody reads.
    for pair in pairs[100...] { _ = writeByte(pair.1) }
    try await runtime.spawn { await worker.idle() }.value
    let before = try await runtime.spawn { worker.driver.turn }.value
    try await runtime.spawn { try await sleep(for: .milliseconds(300)) }.value
    let after = try await runtime.spawn { worker.driver.turn }.value
    #expect(after - before < 20)
    for bridge in bridges { await bridge.closed() }
    for pair in pairs { close(pair.1) }
    await runtime.shutDown()
  }
}
