// SPDX-License-Identifier: Apache-2.0
// The gauges and counters of a runtime's workers.

import Culvert
import CulvertTesting
import CoreMetrics
import MetricsTestKit
import Testing

@Suite(.timeLimit(.minutes(1))) struct MetricsTests {
  @Test func `each worker's numbers are reported at once, and again at each tick`() async throws {
    let metrics = TestMetrics()
    MetricsSystem.bootstrap(metrics)
    let clock = VirtualClock()
    try await withRuntime(clock: clock, workers: 2) { runtime in
      let (client, server) = try await TcpStream.loopbackPair()
      let sleeper = runtime.spawn(on: runtime.workers[1]) { try await sleep(for: .seconds(3600)) }
      let reader = runtime.spawn(on: runtime.workers[1]) { try await server.read(upTo: 1) }
      await runtime.workers[1].idle()
      let reports = runtime.spawn { try await runtime.reportMetrics(every: .seconds(10)) }
      await clock.advance(by: .seconds(25))
      func values(_ name: String, of worker: Int) throws -> [Double] {
        try metrics.expectRecorder("culvert.worker.\(name)", [("worker", "\(worker)")]).values
      }
      #expect(try values("descriptors", of: 1) == [1, 1, 1])
      #expect(try values("timers", of: 1).last == 1)
      #expect(try values("directions.armed", of: 1) == [1, 1, 1])
      for name in ["jobs.ready", "jobs.arrived"] {
        for worker in 0..<2 { #expect(try values(name, of: worker).allSatisfy { $0 >= 0 && $0 < 60 }) }
      }
      // What was counted before the first report is in it, and each one adds what has come since: together the total.
      for (name, total) in [("turns", \WorkerMetrics.turns), ("jobs", \.jobs), ("parks", \.parks)] {
        let counted = try metrics.expectCounter("culvert.worker.\(name)", [("worker", "1")]).values
        #expect(counted.count == 3 && counted[0] > 0)
        #expect(counted.reduce(0, +) <= runtime.metrics[1][keyPath: total])
      }
      #expect(try metrics.expectCounter("culvert.worker.armings", [("worker", "1")]).values == [1, 0, 0])
      client.close()
      sleeper.cancel()
      reports.cancel()
      _ = try await reader.value
      let error = await #expect(throws: IoError.self) { try await reports.value }
      #expect(error?.code == .cancelled)
    }
  }
}
