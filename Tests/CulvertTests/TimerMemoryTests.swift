// SPDX-License-Identifier: Apache-2.0
// Very many timers at once, cancelled at random, in a process of its own: none is left, nor is the memory that they took.
import CulvertTesting
import Foundation
import Testing

@testable import Culvert

#if os(Linux)
  /// As `residentBytes`, without what malloc keeps for later: that depends on which pieces were freed last.
  func trimmedResidentBytes() -> Int {
    typealias Trim = @convention(c) (Int) -> Int32
    if let trim = unsafe dlsym(nil, "malloc_trim") { _ = unsafe unsafeBitCast(trim, to: Trim.self)(0) }
    return residentBytes()
  }

  @Suite(.timeLimit(watchdog)) struct TimerMemoryTests {
    @Test(.disabled(if: isSanitized, "a sanitizer keeps freed memory for itself"))
    func `of a million timers, cancelled at random, neither a timer nor memory is left`() async {
      await #expect(processExitsWith: .success) {
        setWatchdog()
        try await withRuntime(workers: 2) { runtime in
          var random = SeededRandom(7)
          // What the first tasks of a process take is no timer's.
          try await comeAndGo(2_000, on: runtime, using: &random)
          let before = trimmedResidentBytes()
          let count = rounds(ci: 50_000, stress: 1_000_000)
          let most = try await comeAndGo(count, on: runtime, using: &random)
          #expect(most - before > count * 500)
          // Pieces of pages, which a second burst takes again; the timers' own heaps alone, or the queues of their jobs, would
          // be more.
          #expect(trimmedResidentBytes() - before < max(8 << 20, (most - before) / 100))
        }
      }
    }
  }

  /// Lets `count` tasks wait for an hour on all workers, and cancels them in no order; the memory that was in use meanwhile.
  @discardableResult
  private func comeAndGo(
    _ count: Int, on runtime: Runtime, using random: inout SeededRandom
  ) async throws -> Int {
    func pending() -> [Int] { runtime.workers.map { $0.driver.handle.timers.count } }
    var tasks = (0..<count).map { _ in
      runtime.spawn { await failure { try await sleep(for: .seconds(3600)) } }
    }
    for worker in runtime.workers { await worker.idle() }
    #expect(pending() == runtime.workers.map { _ in count / 2 })
    let resident = residentBytes()
    tasks.shuffle(using: &random)
    // Some from here, some from elsewhere at the same time.
    let half = tasks.suffix(count / 2)
    let elsewhere = runtime.spawn(on: runtime.workers[1]) { for task in half { task.cancel() } }
    for task in tasks.prefix(count - count / 2) { task.cancel() }
    try await elsewhere.value
    var cancelled = 0
    for task in tasks where try await task.value == .cancelled { cancelled += 1 }
    #expect(cancelled == count && pending().allSatisfy { $0 == 0 })
    return resident
  }
#endif
