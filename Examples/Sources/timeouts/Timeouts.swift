// SPDX-License-Identifier: Apache-2.0
// Three ways to give work a time limit, that many times: what the library has, and races of two child tasks.
// Run it with `swift run -c release timeouts`; `make counts` prints what each costs in instructions and allocations.

import ArgumentParser
import Culvert

@main
struct Timeouts: ParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Times ways to give work a time limit.")

  enum Way: String, CaseIterable, ExpressibleByArgument {
    /// Nothing but the work: what the others are measured against.
    case none
    case withTimeout
    /// Two child tasks, of which one sleeps as the library does.
    case race
    /// Two child tasks, of which one sleeps as the standard library does.
    case standardRace
  }

  @Option(help: ArgumentHelp("Only this way: none, withTimeout, race or standardRace."))
  var way: Way?

  @Option(help: "How often.")
  var requests = 20_000

  func run() throws {
    let (ways, requests) = (way.map { [$0] } ?? Way.allCases, requests)
    try Runtime.blockOn(workers: 1) { _ in
      for way in ways {
        let start = ContinuousClock.now
        for _ in 0..<requests { try await Self.limited(by: way) }
        print("\(way): \((ContinuousClock.now - start) / max(1, requests)) each")
      }
    }
  }

  private static func limited(by way: Way) async throws {
    switch way {
    case .none: try await work()
    case .withTimeout: try await withTimeout(.seconds(5)) { try await work() }
    case .race: try await race { try await sleep(for: .seconds(5)) }
    case .standardRace: try await race { try await Task.sleep(for: .seconds(5)) }
    }
  }

  /// Lets the other tasks run once.
  private static func work() async throws { await Task.yield() }

  private static func race(against limit: @escaping @Sendable () async throws -> Void) async throws {
    try await withThrowingTaskGroup { group in
      group.addTask { try await work() }
      group.addTask { try await limit() }
      try await group.next()
      group.cancelAll()
    }
  }
}
