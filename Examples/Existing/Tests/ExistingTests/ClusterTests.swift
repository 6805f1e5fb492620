// SPDX-License-Identifier: Apache-2.0
// Several chat servers and one Redis, a real one, and what happens when one of them is gone.

import Culvert
import Foundation
import Subprocess
import Testing

/// A Redis that answers at that address; killed at the end.
func withRedis(port: Int, _ body: (Child) async throws -> Void) async throws {
  try await withChild([
    "redis-server", "--bind", "127.0.0.1", "--port", "\(port)", "--save", "", "--dir", "/tmp",
  ]) { redis in
    try await redis.expect("Ready to accept connections")
    try await body(redis)
  }
}

/// A port that nobody uses now.
func freePort() async throws -> Int {
  let listener = try await TcpListener.bind("127.0.0.1:0")
  let port = try listener.localAddress.port ?? 0
  await listener.closed()
  return Int(port)
}

extension Programs {
  @Suite struct `A cluster through Redis` {
    /// A server of the cluster that is connected, and its port for terminals.
    private func withServer(_ redis: Int, _ body: (Child, _ terminals: String) async throws -> Void)
      async throws
    {
      try await withWebChat(["--cluster", "redis://127.0.0.1:\(redis)"]) { server, terminals, _ in
        try await server.expect("connected as")
        try await body(server, terminals)
      }
    }

    @Test func `two servers share rooms, people and private messages`() async throws {
      let port = try await freePort()
      try await withRedis(port: port) { _ in
        try await withServer(port) { _, one in
          try await withPerson("ann", at: one) { ann in
            try await withServer(port) { _, other in
              try await withPerson("cat", at: other) { cat in
                // News of one server comes in order: what it has told before this is known, too.
                try await ann.expect("* cat has joined")
                try await ann.type("hello over there")
                try await cat.expect("<ann> hello over there")
                try await cat.type("/quit")
              }
              try await withChild(["nc", "127.0.0.1", other]) { bob in
                try await bob.expect("what is your name?")
                try await bob.type("Ann")
                try await bob.expect("! the name Ann is in use")
                try await bob.type("bob")
                try await bob.expect("* hello bob! /help lists the commands; you are in lobby, with 1 other")
                try await ann.expect("* bob has joined")
                try await bob.type("/msg ann psst")
                try await bob.expect("<bob to ann> psst")
                try await ann.expect("<bob to ann> psst")
                try await ann.type("/who")
                try await ann.expect("* in lobby: ann, bob")
                try await bob.type("/join swift")
                try await ann.expect("* bob has left for swift")
                try await bob.type("/msg ann there")
                try await ann.expect("<bob to ann> there")
                try await ann.type("/rooms")
                try await ann.expect("* rooms: lobby (1), swift (1)")
                try await ann.type("/join SWIFT")
                try await ann.expect("* you are in swift, with 1 other")
                try await bob.type("/quit")
                try await ann.expect("* bob has left")
              }
            }
          }
        }
      }
    }

    @Test func `one server is killed: the others go on, and its people are gone`() async throws {
      let port = try await freePort()
      try await withRedis(port: port) { _ in
        try await withServer(port) { _, one in
          try await withServer(port) { _, two in
            try await withPerson("ann", at: one) { ann in
              try await withPerson("bob", at: two) { bob in
                try await withServer(port) { third, three in
                  try await withPerson("cat", at: three) { _ in
                    try await ann.expect("* cat has joined")
                    try third.signal(.kill)
                    try await ann.expect("* cat has left: the server is gone")
                    try await bob.expect("* cat has left: the server is gone")
                  }
                }
                try await ann.type("still here")
                try await bob.expect("<ann> still here")
              }
            }
          }
        }
      }
    }

    @Test func `Redis stops: each server goes on, says so, and is back with it`() async throws {
      let port = try await freePort()
      // The Redis is stopped before the servers are.
      try await withWebChat(["--cluster", "redis://127.0.0.1:\(port)"]) { server, one, _ in
        try await server.expect("! redis://127.0.0.1:\(port): ")
        try await withPerson("ann", at: one) { ann in
          try await withPerson("abe", at: one) { abe in
            try await withWebChat(["--cluster", "redis://127.0.0.1:\(port)"]) { _, two, _ in
              try await withPerson("bob", at: two) { bob in
                for round in 1...2 {
                  try await withRedis(port: port) { redis in
                    for person in [ann, bob] { try await person.expect("* the other servers can be reached") }
                    try await bob.type("round \(round)")
                    try await ann.expect("<bob> round \(round)")
                    try redis.signal(.kill)
                    for person in [ann, bob] {
                      try await person.expect("! the other servers can't be reached")
                    }
                  }
                  try await ann.type("only here, \(round)")
                  try await abe.expect("<ann> only here, \(round)")
                  try await ann.type("/who")
                  try await ann.expect("* in lobby: ann, abe")
                }
                #expect(await bob.printed.allSatisfy { !$0.contains("only here") })
              }
            }
          }
        }
      }
    }

    @Test func `what others publish that is no news is told once, and nothing else comes of it`() async throws
    {
      let port = try await freePort()
      try await withRedis(port: port) { _ in
        try await withServer(port) { server, one in
          try await withPerson("ann", at: one) { ann in
            for garbage in [
              "", "hello", "x\ty\tz", "a b\tsaid\tx\tlobby\thi", "\\xff\\xfe",
              "s\\tsaid\\tno name\\tlobby\\thi",
            ] {
              _ = try await output(of: "printf '\(garbage)' | redis-cli -p \(port) -x PUBLISH culvert-chat")
              try await server.expect("somebody published what is no news")
            }
            _ = try await output(
              of:
                "printf 's\\tsaid\\teve\\tlobby\\thi \\033[2J' | redis-cli -p \(port) -x PUBLISH culvert-chat"
            )
            #expect(try await ann.expect("<eve>") == "<eve> hi \u{FFFD}[2J")
            try await ann.type("still here")
            try await ann.expect("<ann> still here")
          }
        }
      }
    }

    enum Imposter: String, CaseIterable {
      case garbage = "HTTP/1.1 400 Bad Request\r\n\r\n"
      case wrongType = "+PONG\r\n+PONG\r\n:7\r\n"
      /// Of 32 MB, which any machine has.
      case largeArray = "*4000000\r\n"
      case hugeArray = "*2147483647\r\n"
      case hugeText = "$536870911\r\nxxx"
      case refusal = "-NOAUTH Authentication required.\r\n"
      case nothing = ""
    }

    @Test(arguments: Imposter.allCases)
    func `what is no Redis is an error in words, and the chat goes on`(imposter: Imposter) async throws {
      let listener = try await TcpListener.bind("127.0.0.1:0")
      let port = try listener.localAddress.port ?? 0
      let serving = Task {
        try await listener.serve { stream in
          try await stream.write(imposter.rawValue)
          if imposter == .nothing { return }
          // More than may come of one reply.
          if imposter == .hugeText {
            for _ in 1...40 { try await stream.write([UInt8](repeating: 0x78, count: 65536)) }
          }
          while try await stream.read(upTo: 4096) != nil {}
        }
      }
      try await withWebChat(["--cluster", "redis://127.0.0.1:\(port)"]) { server, one, _ in
        let line = try await server.expect("! redis://127.0.0.1:\(port): ")
        #expect(line.contains("again in"))
        try await withPerson("ann", at: one) { ann in
          try await ann.type("still here")
          try await ann.expect("<ann> still here")
        }
      }
      serving.cancel()
      _ = await serving.result
    }

    @Test(arguments: [
      "nonsense", "http://127.0.0.1", "redis://", "redis://h:0", "redis://h:70000", "redis://h/3",
    ])
    func `an address that is none is a usage error`(address: String) async throws {
      let (status, _, errors) = try await run([Program.webChat, "--cluster", address])
      #expect(status == .exited(64))
      #expect(errors.hasPrefix("Error: "))
    }
  }
}
