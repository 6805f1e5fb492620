// SPDX-License-Identifier: Apache-2.0
// The proxy, with ends in this process that it carries for, and with iperf3.

import Culvert
import Foundation
import Subprocess
import Testing

extension Programs {
  @Suite struct `A proxy` {
    enum Ending: CaseIterable, Sendable {
      case near, far, both, nearResets, farResets

      /// Which end it is that begins to end.
      var isNear: Bool { self == .near || self == .nearResets }
    }

    /// More than is buffered on the way, which is some 12 MB.
    private static let much = (0..<40_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }

    @Test(arguments: Ending.allCases, [0, much.count])
    func `loses nothing, whoever ends first, with and without bytes on their way`(
      ending: Ending, pending: Int
    ) async throws {
      let bytes = Array(Self.much[..<pending])
      try await withEnds { near, far in
        let (first, last) = ending.isNear ? (near, far) : (far, near)
        switch ending {
        case .near, .far:
          async let sent: Void = first.sendAll(bytes)
          let got = try await last.readAll()
          try await sent
          #expect(got == bytes)
          // The one way has ended; the other goes on.
          async let answered: Void = last.sendAll(bytes)
          let answer = try await first.readAll()
          try await answered
          #expect(answer == bytes)
        case .both:
          async let (one, other): (Void, Void) = (near.sendAll(bytes), far.sendAll(bytes))
          async let (atFar, atNear) = (far.readAll(), near.readAll())
          _ = try await (one, other)
          #expect(try await atFar == bytes)
          #expect(try await atNear == bytes)
        case .nearResets, .farResets:
          // Both directions are full of them when the end comes.
          for end in [near, far] where pending > 0 { while try end.tryWrite(bytes) != nil {} }
          first.reset()
          await #expect(throws: IoError.self) { _ = try await last.readAll() }
        }
        near.close()
        far.close()
      }
    }

    @Test func `carries 100 MB each way at once, byte for byte`() async throws {
      let bytes = Self.much + Self.much + Self.much.prefix(20_000_000)
      try await withEnds { near, far in
        async let (one, other): (Void, Void) = (near.sendAll(bytes), far.sendAll(bytes))
        async let (atFar, atNear) = (far.readAll(), near.readAll())
        _ = try await (one, other)
        #expect(try await atFar == bytes)
        #expect(try await atNear == bytes)
      }
    }

    @Test func `carries iperf3, either way`() async throws {
      let port = "\(15_000 + getpid() % 10_000)"
      try await withChild(["iperf3", "--server", "--forceflush", "--bind", "127.0.0.1", "--port", port]) {
        server in
        try await server.expect("Server listening on \(port)")
        try await withServer([Program.proxy, "127.0.0.1:\(port)"]) { _, port in
          for direction in [[], ["--reverse"]] {
            let client = [
              "iperf3", "--client", "127.0.0.1", "--port", port, "--bytes", "200M", "--parallel", "4",
            ]
            let (status, output, _) = try await run(client + direction)
            #expect(status == .exited(0), "\(output)")
            #expect(output.contains("iperf Done."))
          }
        }
      }
    }

    /// Runs a proxy, with a connection through it of which `body` gets both ends; afterwards none of its sockets is
    /// half closed.
    private func withEnds(_ body: (_ near: TcpStream, _ far: TcpStream) async throws -> Void) async throws {
      let target = try await TcpListener.bind(.loopback(port: 0))
      let name = "\(try target.localAddress)"
      try await withServer([Program.proxy, name]) { _, port in
        let near = try await TcpStream.connect(to: "127.0.0.1:\(port)")
        let far = try await target.accept()
        try await body(near, far)
        await near.closed()
        await far.closed()
        #if os(Linux)
          let here = "( sport = :\(port) or dst \(name) )"
          let (status, left, _) = try await run(["ss", "--tcp", "-nH", "state", "close-wait", here])
          #expect(status == .exited(0) && left == "")
        #endif
      }
      target.close()
    }
  }
}

extension TcpStream {
  fileprivate func sendAll(_ bytes: [UInt8]) async throws {
    try await write(bytes)
    try shutdown()
  }

  fileprivate func readAll() async throws -> [UInt8] {
    var all: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 18)
    while case let count = try await read(into: &buffer), count > 0 { all += buffer[..<count] }
    return all
  }
}
