// SPDX-License-Identifier: Apache-2.0
// Hosting and joining with standard input from a pipe, a file and /dev/null.

import Foundation
import Subprocess
import Testing

extension Programs {
  @Suite struct `Standard input` {
    private static let goesOn = "* standard input has ended: the server goes on, Ctrl-C ends it"

    /// The server goes on serving, and ends as it is told to.
    private func goesOn(_ host: Child, at port: String) async throws {
      try await host.expect(Self.goesOn)
      try await withPeople(["ann", "bob"], at: port) { people in
        try await people[0].type("nobody home?")
        try await people[1].expect("<ann> nobody home?")
        try host.signal(.terminate)
        for person in people { try await person.expect("* server is going down") }
      }
    }

    @Test func `a host with /dev/null goes on hosting`() async throws {
      let command = ["sh", "-c", "exec \"$0\" --port 0 < /dev/null", Program.chat]
      let status = try await withChild(command, ends: .byItself) { host in
        try await goesOn(host, at: try await host.port())
      }
      #expect(status == .exited(0))
    }

    @Test func `a host with a file says what is in it, leaves, and goes on hosting`() async throws {
      let file = URL.temporaryDirectory.appending(path: "chat-\(UUID().uuidString)")
      try Data("hal\nfrom a file\nand without a newline".utf8).write(to: file)
      defer { try? FileManager.default.removeItem(at: file) }
      let command = ["sh", "-c", "exec \"$0\" --port 0 < \"$1\"", Program.chat, file.path]
      let status = try await withChild(command, ends: .byItself) { host in
        let port = try await host.port()
        try await host.expect("<hal> from a file")
        try await host.expect("<hal> and without a newline")
        try await goesOn(host, at: port)
      }
      #expect(status == .exited(0))
    }

    @Test func `a host with a pipe talks until the pipe ends, and goes on hosting`() async throws {
      let status = try await withServer([Program.chat, "--name", "hal"], ends: .byItself) { host, port in
        try await host.expect("* hello hal!")
        try await withPeople(["cat"], at: port) { people in
          try await host.type("from a pipe")
          try await people[0].expect("<hal> from a pipe")
          try await people[0].type("hello hal")
          try await host.expect("<cat> hello hal")
          try await host.endInput()
          try await people[0].expect("* hal has left")
        }
        try await goesOn(host, at: port)
      }
      #expect(status == .exited(0))
    }

    @Test func `a host that quits takes the server down`() async throws {
      let status = try await withServer([Program.chat, "host", "--name", "hal"], ends: .byItself) {
        host, port in
        try await withPeople(["ann"], at: port) { people in
          try await host.type("/quit")
          try await host.expect("* goodbye!")
          try await people[0].expect("* hal has left")
          try await people[0].expect("* server is going down")
        }
      }
      #expect(status == .exited(0))
    }

    @Test func `a host that says nothing is told, too, when a signal ends it`() async throws {
      let status = try await withServer([Program.chat, "host"], ends: .byItself) { host, _ in
        try await host.expect("what is your name?")
        try host.signal(.terminate)
        try await host.expect("* server is going down")
      }
      #expect(status == .exited(0))
    }

    @Test(arguments: [
      "printf 'bob\\nhello\\n' | \"$0\" join \"$1\"", "\"$0\" join \"$1\" --name bob < \"$2\"",
    ])
    func `who joins with a pipe or a file says all of it, sees the answers, and leaves`(
      script: String
    ) async throws {
      let file = URL.temporaryDirectory.appending(path: "chat-\(UUID().uuidString)")
      try Data("hello\n".utf8).write(to: file)
      defer { try? FileManager.default.removeItem(at: file) }
      try await withServer { _, port in
        try await withPeople(["ann"], at: port) { people in
          let outcome = try await run(["sh", "-c", script, Program.chat, "127.0.0.1:\(port)", file.path])
          #expect(outcome.status == .exited(0))
          #expect(outcome.output.contains("* hello bob!"))
          #expect(outcome.output.hasSuffix("<bob> hello\n"))
          #expect(outcome.errors == "")
          try await people[0].expect("<bob> hello")
          try await people[0].expect("* bob has left")
        }
      }
    }

    @Test func `who joins with /dev/null and a name comes and leaves`() async throws {
      try await withServer { _, port in
        try await withPeople(["ann"], at: port) { people in
          let outcome = try await run([Program.chat, "join", "127.0.0.1:\(port)", "--name", "bob"])
          #expect(outcome.status == .exited(0))
          try await people[0].expect("* bob has joined")
          try await people[0].expect("* bob has left")
        }
      }
    }

    @Test func `who has joined ends when the server does, though nothing was typed`() async throws {
      try await withServer { server, port in
        let command = [Program.chat, "join", "127.0.0.1:\(port)", "--name", "bob"]
        let status = try await withChild(command, ends: .byItself) { client in
          try await client.expect("* hello bob!")
          try server.signal(.terminate)
          try await client.expect("* server is going down")
        }
        #expect(status == .exited(0))
      }
    }

    @Test func `an input that can't be read is an error at once`() async throws {
      try await withServer { _, port in
        let script = "exec '\(Program.chat)' join 127.0.0.1:\(port) < /"
        let outcome = try await run(["sh", "-c", script])
        #expect(outcome.status == .exited(1))
        #expect(outcome.errors == "Error: read standard input: Is a directory\n")
      }
    }

    @Test func `mistakes are told by the client itself`() async throws {
      try await withServer { _, port in
        try await withChild([Program.chat, "join", "127.0.0.1:\(port)", "--name", "bob"]) { client in
          try await client.expect("* hello bob!")
          try await client.type(String(repeating: "x", count: 4097))
          try await client.expect("! a line may have at most 4096 bytes")
          try await client.type("still here")
          try await client.expect("<bob> still here")
        }
      }
    }
  }
}
