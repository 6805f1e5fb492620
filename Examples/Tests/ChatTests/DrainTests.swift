// SPDX-License-Identifier: Apache-2.0
// A server process that is told to end while thousands of requests are under way.

import Culvert
import Foundation
import Subprocess
import Testing

/// How many descriptors this process may have: the soft limit, raised to the hard one.
private let descriptorLimit: Int = {
  var limit = rlimit()
  guard unsafe getrlimit(.init(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 0 }
  limit.rlim_cur = min(limit.rlim_max, 100_000)
  return unsafe setrlimit(.init(RLIMIT_NOFILE.rawValue), &limit) == 0 ? Int(limit.rlim_cur) : 0
}()

extension Programs {
  @Suite struct `A server that drains` {
    private func withDrain(
      _ options: [String], body: @Sendable (_ server: Child, _ address: String) async throws -> Void
    ) async throws -> TerminationStatus {
      // What this process may have, its children may not have inherited: tests run while others start.
      let raised = ["sh", "-c", "ulimit -n $(ulimit -Hn); exec \"$@\"", "sh", Program.drain]
      return try await withServer(raised + options, ends: .byItself) { server, port in
        try await body(server, "127.0.0.1:\(port)")
      }
    }

    /// Connections that have asked for that much.
    private func clients(_ count: Int, of address: String, asking text: String) async throws -> [TcpStream] {
      var clients: [TcpStream] = []
      for _ in 0..<count {
        let client = try await TcpStream.connect(to: address)
        try await client.write(text)
        clients.append(client)
      }
      return clients
    }

    /// A connection that was answered, and is idle: its end tells that the server drains.
    private func idle(at address: String) async throws -> TcpStream {
      let client = try await clients(1, of: address, asking: "one\n")[0]
      #expect(try await BufferedReader(client).readLine() == "ONE")
      return client
    }

    @Test(.enabled(if: descriptorLimit > 6_000), arguments: [1, 2])
    func `answers the 5,000 requests that are under way at SIGTERM, and exits with 0`(workers: Int)
      async throws
    {
      let status = try await withDrain(["--workers", "\(workers)", "--grace", "60"]) { server, address in
        try await withRuntime(workers: 1) { _ in
          let idle = try await idle(at: address)
          let clients = try await clients(5_000, of: address, asking: "hel")
          try server.signal(.terminate)
          #expect(try await idle.read(upTo: 1) == nil)
          let clock = ContinuousClock.now
          for client in clients { try await client.write("lo\n") }
          var answered = 0
          for client in clients {
            let lines = BufferedReader(client)
            if try await lines.readLine() == "HELLO", try await lines.readLine() == nil { answered += 1 }
          }
          #expect(answered == 5_000)
          try await server.expect("drain: served 5001, failed 0, cut 0")
          try await server.expectEnd()
          #expect(ContinuousClock.now - clock < .seconds(60))
        }
      }
      #expect(status == .exited(0))
    }

    @Test func `cuts who is not done in time, counts them, and exits with 1`() async throws {
      let status = try await withDrain(["--grace", "0.2"]) { server, address in
        let idle = try await idle(at: address)
        let clients = try await clients(20, of: address, asking: "hel")
        try server.signal(.terminate)
        for client in clients + [idle] { #expect(try await client.read(upTo: 1) == nil) }
        try await server.expect("drain: served 1, failed 0, cut 20")
        try await server.expectEnd()
      }
      #expect(status == .exited(1))
    }

    @Test func `cuts at once at the second signal`() async throws {
      let status = try await withDrain(["--grace", "3600"]) { server, address in
        let idle = try await idle(at: address)
        let clients = try await clients(20, of: address, asking: "hel")
        try server.signal(.terminate)
        #expect(try await idle.read(upTo: 1) == nil)
        try server.signal(.interrupt)
        for client in clients { #expect(try await client.read(upTo: 1) == nil) }
        try await server.expect("drain: served 1, failed 0, cut 20")
        try await server.expectEnd()
      }
      #expect(status == .exited(1))
    }

    @Test func `lets no more in than it is told to, and the next when one leaves`() async throws {
      let status = try await withDrain(["--max-connections", "1"]) { server, address in
        let first = try await idle(at: address)
        let next = try await clients(1, of: address, asking: "two\n")[0]
        try await first.write("three\n")
        #expect(try await BufferedReader(first).readLine() == "THREE")
        var byte: [UInt8] = [0]
        #expect(try next.tryRead(into: &byte) == nil)
        first.close()
        #expect(try await BufferedReader(next).readLine() == "TWO")
        try server.signal(.interrupt)
        try await server.expect("drain: served 2, failed 0, cut 0")
      }
      #expect(status == .exited(0))
    }
  }
}
