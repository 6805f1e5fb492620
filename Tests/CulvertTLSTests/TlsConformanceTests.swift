// SPDX-License-Identifier: Apache-2.0
// The conformance suite over TLS on each of our streams, and on itself.
import CulvertTLS
import CulvertTesting
import Testing

@testable import Culvert

@Suite(.serialized, .timeLimit(watchdog)) struct TlsConformanceTests {
  /// For what is sound, on the slowest machine, under a sanitizer.
  private let limit = Duration.seconds(100)
  private let contexts: Contexts

  init() throws { contexts = try Contexts() }

  private func expectConformance<Near: ByteStream, Far: ByteStream>(
    plenty: Int = 4 << 20, _ connect: @escaping @Sendable () async throws -> (Near, Far)
  ) async throws {
    let contexts = contexts
    let report = try await StreamConformance.check(limit: limit, plenty: plenty) {
      let (near, far) = try await connect()
      return try await contexts.pair(over: near, far)
    }
    #expect(report.failures.isEmpty && report.leftOut.isEmpty, "\(report)")
  }

  @Test func `TLS over TCP is a stream`() async throws {
    try await withRuntime(workers: 2) { _ in
      try await expectConformance(plenty: 16 << 20) { try await TcpStream.loopbackPair() }
    }
  }

  @Test func `TLS over TCP is a stream without a runtime`() async throws {
    try await expectConformance(plenty: 16 << 20) { try await TcpStream.loopbackPair() }
  }

  @Test func `TLS over Unix streams is a stream`() async throws {
    try await onOneWorker { _ in try await expectConformance { try UnixStream.pair() } }
  }

  // The suite counts on room for some 64 bytes, which are a few hundred with a ticket and what makes a record.
  @Test(arguments: [2048, 65_536])
  func `TLS over a stream in memory is a stream`(capacity: Int) async throws {
    try await onOneWorker { _ in
      try await expectConformance(plenty: 1 << 20) { DuplexStream.pair(capacity: capacity) }
    }
  }

  @Test func `TLS over TLS is a stream`() async throws {
    let contexts = contexts
    try await onOneWorker { _ in
      try await expectConformance {
        let (near, far) = try UnixStream.pair()
        return try await contexts.pair(over: near, far)
      }
    }
  }

  @Test func `TLS 1.2 is a stream`() async throws {
    let contexts = try Contexts(client: { $0.maximumVersion = .v12 })
    try await onOneWorker { _ in
      let report = try await StreamConformance.check(limit: limit, plenty: 4 << 20) {
        let (near, far) = try UnixStream.pair()
        return try await contexts.pair(over: near, far)
      }
      #expect(report.failures.isEmpty && report.leftOut.isEmpty, "\(report)")
    }
  }
}
