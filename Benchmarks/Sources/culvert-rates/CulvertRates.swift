// SPDX-License-Identifier: Apache-2.0
// What a timer and a task on another thread cost: prints name=nanoseconds lines.

import Culvert

@main
struct CulvertRates {
  static let count = 200_000

  static func main() async throws {
    try await withRuntime(workers: 2) { runtime in
      let sleepers = (0..<10_000).map { number in
        runtime.spawn(on: runtime.workers[0]) { try await sleep(for: .seconds(600 + number)) }
      }
      try await measure("timer") { try await withTimeout(.seconds(5)) {} }
      for sleeper in sleepers { sleeper.cancel() }
      let other = runtime.workers[1]
      try await measure("roundtrip", count / 10) { try await runtime.spawn(on: other) {}.value }
      try await measure("submit", 200, each: 1_000) {
        let tasks = (0..<1_000).map { _ in runtime.spawn(on: other) {} }
        for task in tasks { try await task.value }
      }
    }
  }

  /// Repeats `body`, after a tenth as often for warmth, and prints how long each of its `each` parts took.
  static func measure(
    _ name: String, _ count: Int = count, each: Int = 1, _ body: () async throws -> Void
  ) async throws {
    for _ in 0..<count / 10 { try await body() }
    let start = ContinuousClock.now
    for _ in 0..<count { try await body() }
    print("\(name)=\(Int((ContinuousClock.now - start) / .nanoseconds(1)) / count / each)")
  }
}
