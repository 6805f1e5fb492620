// SPDX-License-Identifier: Apache-2.0
// What a timer and work on another thread cost in SwiftNIO: prints name=nanoseconds lines, as culvert-rates does.

import NIOCore
import NIOPosix

@main
struct NioRates {
  static let count = 200_000

  static func main() async throws {
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 2)
    let (loop, other) = (group.next(), group.next())
    try await loop.submit { measureTimers(loop) }.get()
    try await loop.makeFutureWithTask { try await measureSubmits(to: other) }.get()
    try await group.shutdownGracefully()
  }

  static func measureTimers(_ loop: any EventLoop) {
    let pending = (0..<10_000).map { loop.scheduleTask(in: .seconds(600 + Int64($0))) {} }
    func insertAndCancel() { loop.scheduleTask(in: .seconds(5)) {}.cancel() }
    for _ in 0..<count / 10 { insertAndCancel() }
    let start = ContinuousClock.now
    for _ in 0..<count { insertAndCancel() }
    report("timer", start, count)
    for timer in pending { timer.cancel() }
  }

  static func measureSubmits(to other: any EventLoop) async throws {
    for _ in 0..<count / 100 { try await other.submit {}.get() }
    var start = ContinuousClock.now
    for _ in 0..<count / 10 { try await other.submit {}.get() }
    report("roundtrip", start, count / 10)
    start = .now
    for _ in 0..<200 {
      let futures = (0..<1_000).map { _ in other.submit {} }
      for future in futures { try await future.get() }
    }
    report("submit", start, 200_000)
  }

  static func report(_ name: String, _ start: ContinuousClock.Instant, _ count: Int) {
    print("\(name)=\(Int((ContinuousClock.now - start) / .nanoseconds(1)) / count)")
  }
}
