// SPDX-License-Identifier: Apache-2.0
// Hosting and joining on a terminal, which `script` provides.

import Foundation
import Subprocess
import Testing

extension Programs {
  @Suite struct `A terminal` {
    private static let (ctrlC, ctrlD, ctrlS): ([UInt8], [UInt8], [UInt8]) = ([0x03], [0x04], [0x13])

    /// Runs a command on a terminal; its settings, and the flags of its open file, have to be afterwards what
    /// they were before. Nothing ends a chat here but itself.
    private func onTerminal(_ command: String, body: (Child) async throws -> Void) async throws {
      let settings = "echo \"settings $(stty -g) $(grep flags: /proc/self/fdinfo/0)\""
      let script = "trap : INT; \(settings); \(command); echo \"exit code $?\"; \(settings)"
      try await withChild(["script", "-q", "-c", script, "/dev/null"], ends: .byItself) { terminal in
        let before = try await terminal.expect("settings ")
        try await body(terminal)
        try await terminal.expect("exit code 0")
        #expect(try await terminal.expect("settings ") == before)
      }
    }

    enum Leave: CaseIterable { case endOfInput, interrupt, quit }

    @Test(arguments: Leave.allCases)
    func `a host leaves and takes the server down, and the terminal is as it was`(way: Leave) async throws {
      try await onTerminal("'\(Program.chat)' --port 0") { terminal in
        try await withPeople(["ann"], at: try await terminal.port()) { people in
          try await terminal.type("hal")
          try await terminal.expect("* hello hal!")
          try await terminal.type("from a terminal")
          try await people[0].expect("<hal> from a terminal")
          switch way {
          case .endOfInput: try await terminal.type(bytes: Self.ctrlD)
          case .interrupt: try await terminal.type(bytes: Self.ctrlC)
          case .quit: try await terminal.type("/quit")
          }
          try await people[0].expect("* server is going down")
        }
      }
    }

    @Test(arguments: [Leave.endOfInput, .quit])
    func `who has joined leaves, and the terminal is as it was`(way: Leave) async throws {
      try await withServer { _, port in
        try await withPeople(["ann"], at: port) { people in
          try await onTerminal("'\(Program.chat)' join 127.0.0.1:\(port) --name bob") { terminal in
            try await terminal.expect("* hello bob!")
            try await people[0].type("hello bob")
            try await terminal.expect("<ann> hello bob")
            try await terminal.type(bytes: way == .quit ? Array("/quit\n".utf8) : Self.ctrlD)
            try await people[0].expect("* bob has left")
          }
        }
      }
    }

    @Test func `a terminal that the host has stopped stops neither the server nor its end`() async throws {
      let chat = "echo pid $$; exec '\(Program.chat)' --port 0"
      try await withChild(["script", "-q", "-c", chat, "/dev/null"], ends: .byItself) { terminal in
        let pid = try await terminal.expect("pid ").split(separator: " ").last.flatMap { pid_t($0) }
        try await withPeople(["ann", "bob"], at: try await terminal.port()) { people in
          try await terminal.type("hal")
          for person in people { try await person.expect("* hal has joined") }
          try await terminal.type(bytes: Self.ctrlS)
          for number in 1...100 {
            try await people[0].type("line \(number)")
            try await people[1].expect("<ann> line \(number)")
          }
          kill(try #require(pid), SIGTERM)
          for person in people { try await person.expect("* server is going down") }
        }
        try await terminal.expectEnd(within: .seconds(5))
      }
    }
  }
}
