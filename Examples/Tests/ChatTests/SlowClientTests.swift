// SPDX-License-Identifier: Apache-2.0
// A client that does not read is its own problem, and nobody else's.

import Foundation
import Subprocess
import Testing

extension Programs {
  @Suite struct `A client that does not read` {
    /// A netcat that shows us everything but the flood, so that it reads as fast as it can.
    private func withPerson(_ name: String, at port: String, body: (Child) async throws -> Void) async throws
    {
      let script = "nc 127.0.0.1 \(port) | grep --line-buffered -v flood"
      try await withChild(["sh", "-c", script]) { person in
        try await person.type(name)
        try await person.expect("* hello \(name)!")
        try await body(person)
      }
    }

    /// Somebody who says more than sockets buffer, and then what is typed.
    private func withFlood(to port: String, body: (Child) async throws -> Void) async throws {
      let flood = "yes \(String(repeating: "flood", count: 400)) | head -n 40000"
      let script = "(echo flo; \(flood); cat) | nc 127.0.0.1 \(port) | grep --line-buffered -v flood"
      try await withChild(["sh", "-c", script], body: body)
    }

    @Test(arguments: ["1", "2"])
    func `is dropped while the others go on, and is told so when it reads again`(workers: String) async throws
    {
      try await withServer([Program.chat, "serve", "--workers", workers]) { _, port in
        try await withPerson("sloth", at: port) { sloth in
          try await withPerson("wit", at: port) { witness in
            try sloth.signal(.suspend)
            try await withFlood(to: port) { flood in
              try await witness.expect("* flo has joined")
              try await witness.type("hello from wit")
              try await flood.expect("<wit> hello from wit")
              try await witness.expect("* sloth was dropped: too slow to read")
              try sloth.signal(.resume)
              try await sloth.expect("* you were dropped: too slow to read")
              try await witness.type("anybody left?")
              try await flood.expect("<wit> anybody left?")
            }
            try await witness.expect("* flo has left")
          }
        }
      }
    }

    @Test func `holds up the end of the server for two seconds at most`() async throws {
      let status = try await withServer(ends: .byItself) { server, port in
        try await withPerson("sloth", at: port) { sloth in
          try await withPerson("wit", at: port) { witness in
            try sloth.signal(.suspend)
            try await withFlood(to: port) { _ in
              // Now the server is stuck in a write to it.
              try await witness.expect("* sloth was dropped: too slow to read")
              try server.signal(.terminate)
              try await witness.expect("* server is going down")
              try await server.expectEnd(within: .seconds(3))
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
