// SPDX-License-Identifier: Apache-2.0
// A client that does not read is its own problem, and nobody else's.

import Subprocess
import Testing

extension Programs {
  @Suite struct `A client that does not read` {
    /// A netcat that shows everything but the flood.
    private func withPerson(_ name: String, at port: String, body: (Child) async throws -> Void) async throws
    {
      let script = "nc 127.0.0.1 \(port) | grep --line-buffered -v flood"
      try await withChild(["sh", "-c", script]) { person in
        try await person.type(name)
        try await person.expect("* hello \(name)!")
        try await body(person)
      }
    }

    /// Somebody talks until sockets and the outbox of a sleeper are full. The witness keeps up: what comes
    /// before it answers fits into its own outbox.
    private func flood(by talker: Child, till news: String, to witness: Child) async throws {
      let flood = Array(String(repeating: String(repeating: "flood", count: 400) + "\n", count: 100).utf8)
      for round in 1...200 {
        try await talker.type(bytes: flood)
        try await talker.type("round \(round)")
        try await witness.expect("<flo> round \(round)")
        try await witness.type("answer \(round)")
        try await talker.expect("<wit> answer \(round)")
        if await witness.printed.contains(news) { return }
      }
      Issue.record("forty megabytes were not too much")
    }

    @Test(arguments: ["1", "2"])
    func `is dropped while the others go on, and is told so when it reads again`(workers: String) async throws
    {
      try await withServer([Program.chat, "serve", "--workers", workers]) { _, port in
        try await withPerson("sloth", at: port) { sloth in
          try await withPerson("wit", at: port) { witness in
            try await withPerson("flo", at: port) { talker in
              try sloth.signal(.suspend)
              try await flood(by: talker, till: "* sloth was dropped: too slow to read", to: witness)
              try sloth.signal(.resume)
              try await sloth.expect("* you were dropped: too slow to read")
              try await witness.type("anybody left?")
              for person in [witness, talker] { try await person.expect("<wit> anybody left?") }
            }
          }
        }
      }
    }

    @Test func `holds up the end of the server for two seconds at most`() async throws {
      let status = try await withServer(ends: .byItself) { server, port in
        try await withPerson("sloth", at: port) { sloth in
          try await withPerson("wit", at: port) { witness in
            try await withPerson("flo", at: port) { talker in
              try sloth.signal(.suspend)
              try await flood(by: talker, till: "* sloth was dropped: too slow to read", to: witness)
              // The server is stuck in a write to it.
              try server.signal(.terminate)
              for person in [witness, talker] { try await person.expect("* server is going down") }
              try await server.expectEnd(within: .seconds(4))
            }
          }
        }
      }
      #expect(status == .exited(0))
    }

    @Test func `that asks for much is not read, either, and loses nothing`() async throws {
      try await withServer { _, port in
        try await withPerson("wit", at: port) { witness in
          // Twenty megabytes of answers, more than sockets buffer, are not read before we say so.
          let questions = "echo ann; yes /help | head -n 60000; echo /quit"
          let count = "(read -r go <&3; grep -c ROOM)"
          let script = "exec 3<&0; (\(questions)) | nc -N 127.0.0.1 \(port) | \(count)"
          try await withChild(["sh", "-c", script], ends: .byItself) { asker in
            try await witness.expect("* ann has joined")
            for _ in 1...1000 {
              try await witness.type("/who")
              try await witness.expect("* in lobby: wit, ann")
            }
            try await asker.type("go")
            try await asker.expect("60000")
          }
        }
      }
    }
  }
}
