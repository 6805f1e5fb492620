// SPDX-License-Identifier: Apache-2.0
// Bugs that other runtimes had with their threads, jobs, timers and ends. Each test is named after its row in the list of
// hazards.
import CCulvert
import CulvertTesting
import Foundation
import Testing

@testable import Culvert

/// Memory of this process that is in use, as the kernel sees it.
func residentBytes() -> Int {
  let text = (try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8)) ?? ""
  return (text.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0) * Int(getpagesize())
}

/// Whether a sanitizer watches, which keeps freed memory for itself.
let isSanitized = unsafe dlsym(nil, "__asan_init") != nil || dlsym(nil, "__tsan_init") != nil

/// Sleeps, and notes how wrong the time was.
private final class Naps: Sendable {
  let early = Tally()
  /// In nanoseconds.
  let worst = Locked<UInt64>(0)

  func nap(_ microseconds: Int) async -> IoError.Code? {
    let due = MonotonicTime.now + UInt64(microseconds) * 1_000
    let code = await failure { try await sleep(for: .microseconds(microseconds)) }
    let now = MonotonicTime.now
    if code == nil {
      if now < due { early.add() } else { worst.withLock { $0 = max($0, now - due) } }
    }
    return code
  }
}

@Suite(.timeLimit(watchdog)) struct RuntimeHazardTests {
  @Test(.disabled(if: isChaotic, aTryMayBlock))
  func `hazard 29: a call that is ready suspends not at all, and one that waits is one job`() async throws {
    var limits = Limits()
    limits.jobsPerTurn = 1
    try await onOneWorker(limits: limits) { worker in
      let (mine, theirs) = try socketPair()
      defer { close(theirs) }
      let stream = try TcpStream(owning: mine, peer: .unnamed)
      let others = Tally()
      let other = Task(executorPreference: worker) { _ = others.add() }
      for _ in 0..<50 {
        #expect(writeByte(theirs))
        _ = try await stream.asyncCall(.readable, readByte)
      }
      #expect(others.value == 0)
      await other.value
      // A short read forgets that the stream was ready, so each of these waits for the loop. With one job for each turn
      // of it, the turns tell how many jobs there were.
      _ = writeByte(theirs)
      _ = try await stream.read(upTo: 9)
      let before = worker.driver.turn
      for _ in 0..<50 {
        #expect(writeByte(theirs))
        _ = try await stream.read(upTo: 9)
      }
      #expect(worker.driver.turn - before <= 51)
    }
  }

  @Test func `hazard 29: a task stays on its worker over everything that it can wait for`() async throws {
    try await withRuntime(workers: 2) { runtime in
      for worker in runtime.workers {
        try await runtime.spawn(on: worker) {
          func stay<R>(_ body: () async throws -> R) async rethrows -> R {
            let result = try await body()
            #expect(Worker.current === worker)
            return result
          }
          let listener = try await stay { try await TcpListener.bind(.loopback(port: 0)) }
          let client = try await stay { try await TcpStream.connect(to: listener.localAddress) }
          let server = try await stay { try await listener.accept() }
          // Reading here, while somebody else writes, and the other way round.
          let writing = Task { try await client.write(much) }
          _ = try await stay { try await server.readExactly(much.count) }
          try await stay { try await writing.value }
          let reading = Task { try await server.readExactly(much.count) }
          try await stay { try await client.write(much) }
          _ = try await stay { try await reading.value }
          try await stay { try await client.writable() }
          let gate = Gate()
          Task.detached { gate.open() }
          try await stay { try await gate.passed() }
          async let child = stay { await failure { try await server.read(upTo: 1) } }
          await stay { await server.closed() }
          #expect(await child == .closed)
          await stay { await listener.closed() }
          #expect(await stay { await failure { try await client.read(upTo: 1) } } == nil)
        }.value
      }
    }
  }

  @Test
  func `hazard 36: whatever is slept, cancelled and slept again, no sleep is early and none is forgotten`()
    async throws
  {
    try await withRuntime(workers: 2) { runtime in
      let clock = Naps()
      var random = SeededRandom(36)
      // Not too many at once: a job that has to wait for others would hide that its timer was early.
      for _ in 0..<rounds(ci: 25, stress: 5_000) {
        var tasks: [Task<IoError.Code?, any Error>] = []
        for _ in 0..<200 {
          let long = Int.random(in: 0...50_000_000, using: &random)
          let short = Int.random(in: 0...30_000, using: &random)
          tasks.append(
            runtime.spawn {
              // A deadline that is moved: one sleep is cancelled when the other is over.
              async let _ = clock.nap(long)
              return await clock.nap(short)
            })
          if let other = tasks.randomElement(using: &random), Int.random(in: 0..<4, using: &random) == 0 {
            other.cancel()
          }
        }
        for task in tasks {
          let code = try await task.value
          #expect(code == nil || code == .cancelled)
        }
      }
      for worker in runtime.workers { #expect(worker.driver.handle.timers.count == 0) }
      #expect(clock.early.value == 0)
      // A watchdog: the machine may be busy, but nobody is forgotten until something else wakes the loop. Under a sanitizer
      // each generic call queues up at a lock of the Swift runtime, for seconds when many tests run at once.
      #expect(isSanitized || clock.worst.withLock { $0 } < 5_000_000_000)
    }
  }

  @Test func `jobs that a worker has not run within its grace go on elsewhere`() async throws {
    var configuration = Runtime.Configuration(workers: 2)
    configuration.limits.shutDownGrace = .zero
    let runtime = try Runtime(configuration)
    let (begun, ending) = (Tally(), Gate())
    let tasks = (0..<100).map { _ in
      runtime.spawn {
        begun.add()
        try await ending.passed()
        // Ready at any time: the end finds them in the queue.
        for _ in 0..<200 { await Task.yield() }
        while Worker.current != nil { await Task.yield() }
        return 1
      }
    }
    try await begun.reached(100)
    ending.open()
    await runtime.shutDown()
    var sum = 0
    for task in tasks { sum += try await task.value }
    #expect(sum == 100)
  }
}
