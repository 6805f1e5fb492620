// SPDX-License-Identifier: Apache-2.0
// The lock under everything else.
import CCulvert
import CulvertTesting
import Testing

@testable import Culvert

@Suite(.timeLimit(watchdog)) struct LockedTests {
  @Test func `a lock that many threads want is held by one at a time, and forgotten by none`() async throws {
    let count = Locked(0)
    let ends = Tally()
    let (threads, rounds) = (6, isSanitized ? 2_000 : 20_000)
    for _ in 0..<threads {
      try Thread.start(ThreadConfiguration(), name: "locker") {
        for round in 0..<rounds {
          count.withLock { count in
            let before = count
            // Long enough, now and then, for the others to fall asleep.
            if round % 4_000 == 0 { for _ in 0..<100 { sched_yield() } }
            count = before + 1
          }
        }
        ends.add()
      }
    }
    try await ends.reached(threads)
    #expect(count.withLock { $0 } == threads * rounds)
  }
}
