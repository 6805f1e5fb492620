// SPDX-License-Identifier: Apache-2.0
// What a hop between threads costs: two tasks send one byte to and fro over a socket pair, on a worker and elsewhere.
// Run it with `swift run -c release hops`; the figures mean something on a quiet machine.

import Culvert
import Foundation

@main struct Hops {
  static let rounds = 50_000

  static func main() async throws {
    try await withRuntime(workers: 1) { _ in
      for _ in 1...3 {
        try await report("both tasks on the worker") { try await rounds(of: $0, $1) }
        try await report("both in Task.detached") { near, far in
          try await Task.detached { try await Self.rounds(of: near, far) }.value
        }
      }
    }
  }

  /// Each byte is waited for: nothing has come yet when it is asked for.
  static func rounds(of near: UnixStream, _ far: UnixStream) async throws {
    async let answered: Void = {
      for _ in 0..<rounds { try await far.write(try await far.read(upTo: 1) ?? []) }
    }()
    for _ in 0..<rounds {
      try await near.write([1])
      _ = try await near.read(upTo: 1)
    }
    try await answered
  }

  static func report(_ what: String, _ body: (UnixStream, UnixStream) async throws -> Void) async throws {
    let (near, far) = try UnixStream.pair()
    let (begin, processor) = (ContinuousClock.now, clock())
    try await body(near, far)
    let microseconds = 1e6 / Double(rounds)
    let elapsed = begin.duration(to: .now) / .seconds(1) * microseconds
    let used = Double(clock() - processor) / Double(CLOCKS_PER_SEC) * microseconds
    print("\(what): \(text(elapsed)) us for a round, \(text(used)) us of processors")
  }

  static func text(_ value: Double) -> String { String(format: "%.1f", value) }
}
