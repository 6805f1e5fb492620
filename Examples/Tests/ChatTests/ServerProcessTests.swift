// SPDX-License-Identifier: Apache-2.0
// How the server processes end, and how they fail to start.

import Foundation
import Subprocess
import Testing

extension Programs {
  @Suite struct `The end of a server` {
    @Test(arguments: [Signal.interrupt, .terminate])
    func `everybody is told, the exit code is 0, and the port is free at once`(
      signal: Signal
    ) async throws {
      var port = ""
      let status = try await withServer(ends: .byItself) { server, itsPort in
        port = itsPort
        try await withPeople(["ann", "bob"], at: itsPort) { people in
          try await withNetcat(to: itsPort) { nameless in
            try server.signal(signal)
            for client in people + [nameless] { try await client.expect("* server is going down") }
            // Netcat does not hang up by itself: that is not waited for long.
            try await server.expectEnd(within: .milliseconds(1500))
          }
        }
      }
      #expect(status == .exited(0))
      try await withServer(port: port) { _, samePort in #expect(samePort == port) }
    }

    @Test(arguments: [[Program.chat, "serve"], [Program.echo]])
    func `SIGUSR1 prints who waits for what, and the server goes on`(program: [String]) async throws {
      try await withServer(program) { server, port in
        try await withChild(["nc", "127.0.0.1", port]) { client in
          try await client.type("hello")
          try await client.expect("hello")
          try server.signal(.userDefinedOne)
          try await server.expect("worker 0: ")
          try await server.expect("127.0.0.1:\(port)")
          try await server.expect(" waits for readable, for ")
          try await client.type("hello again")
          try await client.expect("hello")
        }
      }
    }

    @Test(arguments: [Signal.interrupt, .terminate])
    func `a server without clients ends at once`(signal: Signal) async throws {
      let status = try await withServer(ends: .byItself) { server, _ in try server.signal(signal) }
      #expect(status == .exited(0))
    }

    @Test(arguments: [1, 16])
    func `those who talk without a pause are told, too, and do not hold it up`(talkers: Int) async throws {
      let status = try await withServer(ends: .byItself) { server, port in
        let talker = "(echo ann$i; echo /join $i; yes) | nc 127.0.0.1 \(port) | grep --line-buffered '^\\*'"
        let script = "for i in $(seq \(talkers)); do (\(talker)) & done; wait"
        try await withChild(["sh", "-c", script]) { output in
          for _ in 1...talkers { try await output.expect(", alone") }
          try server.signal(.terminate)
          try await output.expect("* server is going down")
          try await server.expectEnd(within: .seconds(3))
        }
      }
      #expect(status == .exited(0))
    }

    @Test(arguments: [Signal.interrupt, .terminate])
    func `an echo server with a client ends, too`(signal: Signal) async throws {
      let status = try await withServer([Program.echo, "--workers", "2"], ends: .byItself) { server, port in
        try await withChild(["nc", "127.0.0.1", port]) { client in
          try await client.type("hello")
          try await client.expect("hello")
          try server.signal(signal)
        }
      }
      #expect(status == .exited(0))
    }
  }
}

extension Programs {
  @Suite struct `What can't be done` {
    private func fail(_ arguments: [String]) async throws -> (TerminationStatus, String) {
      let outcome = try await run([Program.chat] + arguments)
      #expect(outcome.output == "")
      return (outcome.status, outcome.errors)
    }

    @Test(arguments: [["serve"], ["host"]])
    func `a busy port is one line on standard error and exit code 1`(command: [String]) async throws {
      try await withServer { _, port in
        let (status, error) = try await fail(command + ["--port", port])
        #expect(status == .exited(1))
        #expect(error == "Error: listen on 127.0.0.1:\(port): address in use\n")
      }
    }

    @Test(arguments: [["serve", "--host", "nonsense"], ["join", "nonsense"], ["join", "127.0.0.1:99999"]])
    func `a bad address is one line on standard error and exit code 1`(arguments: [String]) async throws {
      let (status, error) = try await fail(arguments)
      #expect(status == .exited(1))
      #expect(error.contains(arguments.last ?? ""))
      #expect(error.hasPrefix("Error: "))
      #expect(error.split(separator: "\n").count == 1)
    }

    @Test func `a server that is not there is one line on standard error and exit code 1`() async throws {
      let (status, error) = try await fail(["join", "127.0.0.1:1"])
      #expect(status == .exited(1))
      #expect(error == "Error: connect to 127.0.0.1:1: connection refused\n")
    }

    @Test(arguments: [
      ["--port", "99999"], ["--workers", "0"], ["--max-clients", "0"], ["--nonsense"], ["join"],
    ])
    func `a bad option is a usage error`(arguments: [String]) async throws {
      let (status, error) = try await fail(arguments)
      #expect(status == .exited(64))
      #expect(error.hasPrefix("Error: "))
      #expect(error.contains("Usage: chat"))
    }
  }
}
