// SPDX-License-Identifier: Apache-2.0
// Real netcat clients in one room of the real program.

import Foundation
import Subprocess
import Testing

extension Programs {
  @Suite struct `A chat with netcat` {
    @Test(arguments: ["1", "2"])
    func `three clients in one room all see a line that one types`(workers: String) async throws {
      try await withServer([Program.chat, "serve", "--workers", workers]) { _, port in
        try await withPeople(["ann", "bob", "cat"], at: port) { people in
          for (number, author) in ["ann", "bob", "cat"].enumerated() {
            try await people[number].type("it is me, \(author)")
            for person in people { try await person.expect("<\(author)> it is me, \(author)") }
          }
        }
      }
    }

    @Test func `when a client is killed the others hear of it within a second`() async throws {
      try await withServer { _, port in
        try await withPeople(["ann", "bob", "cat"], at: port) { people in
          try people[2].signal(.kill)
          for person in people.dropLast() {
            try await person.expect("* cat has left", within: .seconds(1))
          }
        }
      }
    }

    @Test func `rooms, lists and private messages go over the wire`() async throws {
      try await withServer { _, port in
        try await withPeople(["ann", "bob"], at: port) { people in
          try await people[0].type("/join swift")
          try await people[0].expect("* you are in swift, alone")
          try await people[1].expect("* ann has left for swift")
          try await people[1].type("/rooms")
          try await people[1].expect("* rooms: lobby (1), swift (1)")
          try await people[1].type("/msg ann psst")
          for person in people { try await person.expect("<bob to ann> psst") }
          try await people[1].type("/quit")
          try await people[1].expect("* goodbye!")
        }
      }
    }

    @Test func `a name in use is answered and the client may choose another`() async throws {
      try await withServer { _, port in
        try await withPeople(["ann"], at: port) { people in
          try await withNetcat(to: port) { client in
            try await client.type("Ann")
            try await client.expect("! the name Ann is in use: choose another")
            try await client.type("bob")
            try await client.expect("* hello bob!")
            try await people[0].expect("* bob has joined")
          }
        }
      }
    }

    enum Mistake: String, CaseIterable {
      case tooLong = "! a line may have at most 4096 bytes"
      case muchTooLong = "! a line may have at most 4096 bytes: yours"
      case notUtf8 = "! a line has to be UTF-8 text"
      case unknownCommand = "! there is no command /dance"

      var line: [UInt8] {
        switch self {
        case .tooLong: Array(repeating: UInt8(ascii: "x"), count: 4097)
        case .muchTooLong: Array(repeating: UInt8(ascii: "x"), count: 300_000)
        case .notUtf8: [0x68, 0xFF, 0xFE]
        case .unknownCommand: Array("/dance".utf8)
        }
      }
    }

    @Test(arguments: Mistake.allCases)
    func `a mistake is answered with one line and the client stays`(mistake: Mistake) async throws {
      try await withServer { _, port in
        try await withPeople(["ann", "bob"], at: port) { people in
          try await people[0].type(bytes: mistake.line + [UInt8(ascii: "\n")])
          try await people[0].expect(mistake.rawValue)
          try await people[0].type("still here")
          let next = try await people[0].expect()
          #expect(next == "<ann> still here")
          try await people[1].expect("<ann> still here")
          #expect(await people[1].printed.allSatisfy { !$0.hasPrefix("!") })
        }
      }
    }

    @Test func `a line of exactly 4 KiB is delivered`() async throws {
      try await withServer { _, port in
        try await withPeople(["ann", "bob"], at: port) { people in
          let line = String(repeating: "x", count: 4096)
          try await people[0].type(line)
          for person in people { try await person.expect("<ann> \(line)") }
        }
      }
    }

    @Test func `escape sequences do not reach other terminals`() async throws {
      try await withServer { _, port in
        try await withPeople(["ann", "bob"], at: port) { people in
          try await people[0].type("\u{1B}]0;mine\u{7}\u{1B}[2Jboo")
          let line = try await people[1].expect("boo")
          #expect(line == "<ann> \u{FFFD}]0;mine\u{FFFD}\u{FFFD}[2Jboo")
        }
      }
    }

    @Test func `a client over the limit is told so in one line and closed`() async throws {
      try await withServer([Program.chat, "serve", "--max-clients", "2"]) { _, port in
        try await withPeople(["ann", "bob"], at: port) { people in
          // With much to say, which must not drown the answer; -N: netcat hangs up when its input ends.
          for client in ["nc -N 127.0.0.1 \(port)", "'\(Program.chat)' join 127.0.0.1:\(port)"] {
            let refused = try await run(["sh", "-c", "seq 100000 | \(client)"])
            #expect(refused.output == "! server is full: it takes 2 clients\n")
            #expect(refused.errors == "")
            #expect(refused.status == .exited(0))
          }
          try await people[0].type("just us")
          for person in people { #expect(try await person.expect() == "<ann> just us") }
        }
      }
    }

    @Test func `a client that ends its input leaves, and gets what was still for it`() async throws {
      try await withServer { _, port in
        try await withPeople(["ann"], at: port) { people in
          let script = "printf 'bob\\nhello\\n/help\\n' | nc -N 127.0.0.1 \(port)"
          let heard = try await run(["sh", "-c", script]).output
          #expect(heard.contains("<bob> hello\n"))
          #expect(heard.hasSuffix("* everything else is said to the room\n"))
          try await people[0].expect("<bob> hello")
          try await people[0].expect("* bob has left")
        }
      }
    }
  }
}
