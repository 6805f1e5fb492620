// SPDX-License-Identifier: Apache-2.0
// The conformance suite over all of our streams, and over broken ones, which it must tell from them.
import CulvertTesting
import Testing

@testable import Culvert

// One after the other: each moves some hundred megabytes.
@Suite(.serialized, .timeLimit(watchdog)) struct ConformanceTests {
  /// A socket pair holds some hundred kilobytes.
  private let plentyForPair = 4 << 20
  /// For what is sound, on the slowest machine, under a sanitizer.
  private let limit = Duration.seconds(100)

  @Test(arguments: [Place.worker, .noWorker])
  func `a TCP stream is a stream`(place: Place) async throws {
    try await place.run {
      let report = try await StreamConformance.check(limit: limit) { try await TcpStream.loopbackPair() }
      #expect(report.failures.isEmpty, "\(report)")
      #expect(Set(report.held) == StreamConformance.Fact.all && report.leftOut.isEmpty)
    }
  }

  @Test func `what holds little is looked at with little`() async throws {
    try await onOneWorker { _ in
      let report = try await StreamConformance.check(limit: limit, plenty: 4096) {
        DuplexStream.pair(capacity: 64)
      }
      #expect(report.failures.isEmpty && report.leftOut.isEmpty, "\(report)")
    }
  }

  @Test(arguments: Place.allCases)
  func `a pair of Unix streams is a stream`(place: Place) async throws {
    try await place.run {
      let report = try await StreamConformance.check(limit: limit, plenty: plentyForPair) {
        try UnixStream.pair()
      }
      #expect(report.failures.isEmpty && report.leftOut.isEmpty, "\(report)")
    }
  }

  @Test func `a Unix stream between a listener and a client is a stream`() async throws {
    try await withRuntime(workers: 2) { _ in
      let listener = try await UnixListener.bind("unix:@culvert-conformance-\(unusedPort())")
      let report = try await StreamConformance.check(limit: limit, plenty: plentyForPair) {
        let client = try await UnixStream.connect(to: listener.localAddress)
        return (client, try await listener.accept())
      }
      #expect(report.failures.isEmpty && report.leftOut.isEmpty, "\(report)")
    }
  }

  @Test func `a TCP stream on two workers, or over a socket pair, is a stream`() async throws {
    try await withRuntime(workers: 2) { runtime in
      let report = try await StreamConformance.check(limit: limit, plenty: plentyForPair) {
        try TcpStream.overSocketPair()
      }
      #expect(report.failures.isEmpty && report.leftOut.isEmpty, "\(report)")
      // The far end's home is the other worker.
      let onTwo = try await StreamConformance.check(limit: limit) {
        let (near, far) = try await TcpStream.loopbackPair()
        try await runtime.spawn(on: runtime.workers[1]) { try await far.writable() }.value
        return (near, far)
      }
      #expect(onTwo.failures.isEmpty, "\(onTwo)")
    }
  }

  @Test func `what has one direction only is asked for what it can be asked for`() async throws {
    try await onOneWorker { _ in
      let report = try await StreamConformance.checkOneWay(limit: limit, plenty: plentyForPair) {
        try UnixStream.pair()
      }
      #expect(report.failures.isEmpty && report.leftOut.count == 9, "\(report)")
      let closable = try await StreamConformance.checkOneWay(
        limit: limit, plenty: plentyForPair, closing: ({ $0.close() }, { $0.close() })
      ) { try UnixStream.pair() }
      #expect(closable.failures.isEmpty && closable.leftOut.count == 3, "\(closable)")
    }
  }

  @Test(arguments: Place.allCases, [64, 65_536])
  func `a stream in memory is a stream`(place: Place, capacity: Int) async throws {
    try await place.run {
      // Many times what there is room for; byte by byte a debug build takes its time.
      let report = try await StreamConformance.check(limit: limit, plenty: min(capacity << 11, 1 << 20)) {
        DuplexStream.pair(capacity: capacity)
      }
      #expect(report.failures.isEmpty && report.leftOut.isEmpty, "\(report)")
    }
  }

  @Test(arguments: Place.allCases)
  func `a pipe is a stream one way`(place: Place) async throws {
    try await place.run {
      let report = try await StreamConformance.checkOneWay(
        limit: limit, plenty: 2 << 20, closing: ({ (writer: PipeWriter) in writer.close() }, { $0.close() })
      ) {
        let (reader, writer) = try PipeReader.pair()
        return (writer, reader)
      }
      #expect(report.failures.isEmpty && report.leftOut.count == 3, "\(report)")
    }
  }

  // MARK: broken streams

  /// What fails of a stream whose near end has a flaw.
  private func failures(
    of facts: Set<StreamConformance.Fact> = StreamConformance.Fact.all, limit: Duration = .seconds(100),
    plenty: Int = 4 << 20,
    between connect: @escaping @Sendable () async throws -> (StreamSocket, StreamSocket) = {
      try UnixStream.pair()
    },
    _ flaw: @escaping @Sendable (StreamSocket) -> Flawed
  ) async throws -> [StreamConformance.Failure] {
    try await onOneWorker { _ in
      try await StreamConformance.check(facts, limit: limit, plenty: plenty) {
        let (near, far) = try await connect()
        return (flaw(near), far)
      }.failures
    }
  }

  @Test func `a stream that loses what a cancelled read has read is found out`() async throws {
    let failures = try await failures { LosesReads($0) }
    #expect(Set(failures.map(\.fact)) == [.cancelledRead, .readOfCancelled])
    #expect(failures.allSatisfy { $0.direction == "far to near" && $0.seen.contains("was written there") })
  }

  @Test func `a stream that interleaves writes is found out`() async throws {
    let failures = try await failures { Interleaves($0) }
    #expect(failures.map(\.fact) == [.wholeWrites] && failures.first?.direction == "near to far")
    #expect(failures.first?.seen.contains("in one piece") ?? false)
  }

  @Test func `a stream that cuts off what it has at shutdown is found out`() async throws {
    let failures = try await failures(plenty: 16 << 20, between: { try await TcpStream.loopbackPair() }) {
      CutsOff($0)
    }
    #expect(Set(failures.map(\.fact)) == [.shutdownDelivers, .endStays, .endWakes, .halfClose])
  }

  @Test func `a stream that tells its end only once is found out, and does not hang the suite`() async throws
  {
    let others = StreamConformance.Fact.all.subtracting([.endStays])
    #expect(try await failures(of: others) { EndsOnce($0) }.isEmpty)
    let failures = try await failures(of: [.endStays], limit: .milliseconds(100)) { EndsOnce($0) }
    #expect(failures.map(\.seen) == ["did not end within 0.1 seconds"])
  }

  @Test func `a stream that heeds no cancellation is found out, and does not hang the suite`() async throws {
    let reads: Set<StreamConformance.Fact> = [.cancelledRead, .readOfCancelled]
    #expect(
      try await failures(of: StreamConformance.Fact.all.subtracting(reads)) { NeverCancels($0) }.isEmpty)
    let failures = try await failures(of: reads, limit: .milliseconds(100)) { NeverCancels($0) }
    #expect(Set(failures.map(\.fact)) == reads)
    #expect(failures.allSatisfy { $0.seen.hasPrefix("did not end within 0.1 seconds") })
  }

  @Test
  func
    `a stream that takes whatever it is given, one that counts wrong, and one that throws away, are found out`()
    async throws
  {
    let greedy = try await failures { Greedy($0) }.map(\.fact)
    #expect(greedy.contains(.fullWaits) && !greedy.contains(.order))
    let miscounting = try await failures { Miscounts($0) }.map(\.fact)
    // Where writes are cut short at random (`make chaos`) that of a cancelled task may have sent a part, too.
    #expect(miscounting.filter { !isChaotic || $0 != .writeOfCancelled } == [.cancelledWrite])
    let overwriting = try await failures { Overwrites($0) }.map(\.fact)
    #expect(overwriting == [.appends])
  }

  @Test func `what can't be connected, and a suite that is cancelled, throw`() async throws {
    struct NoStream: Error {}
    try await onOneWorker { _ in
      await #expect(throws: NoStream.self) {
        try await StreamConformance.check { () throws -> (UnixStream, UnixStream) in throw NoStream() }
      }
      let code = await failure {
        try await withTimeout(.milliseconds(20)) {
          _ = try await StreamConformance.check([.endStays]) {
            let (near, far) = try UnixStream.pair()
            return (EndsOnce(near), far)
          }
        }
      }
      #expect(code == .timedOut)
    }
  }
}
