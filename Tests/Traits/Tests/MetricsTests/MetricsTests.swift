// SPDX-License-Identifier: Apache-2.0
// The gauges of a runtime's workers.

import Culvert
import CulvertTesting
import CoreMetrics
import MetricsTestKit
import Testing

@Suite(.timeLimit(.minutes(1))) struct MetricsTests {
  @Test func `each worker's gauges are set at once, and again at each tick`() async throws {
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
      for name in ["jobs.ready", "jobs.arrived", "busy.seconds"] {
        for worker in 0..<2 { #expect(try values(name, of: worker).allSatisfy { $0 >= 0 && $0 < 60 }) }
      }
      client.close()
      sleeper.cancel()
      reports.cancel()
      _ = try await reader.value
      let error = await #expect(throws: IoError.self) { try await reports.value }
      #expect(error?.code == .cancelled)
    }
  }
}
