// SPDX-License-Identifier: Apache-2.0
// The small examples, each against a real peer or a second one of its kind.

import Foundation
import Subprocess
import Testing

extension Programs {
  @Suite struct `The small programs` {
    private static func freshPath() -> String { "/tmp/culvert-example-\(UUID().uuidString.prefix(8))" }

    @Test(arguments: [[], ["--batch"]])
    func `udp-echo sends back what it gets`(flags: [String]) async throws {
      let status = try await withChild([Program.udpEcho, "--port", "0"] + flags, ends: .byItself) { server in
        let port = try await server.port()
        try await withChild(["socat", "-t60", "-", "UDP4:127.0.0.1:\(port)"]) { client in
          try await client.type("hello")
          try await client.expect("hello")
        }
        try server.signal(.interrupt)
      }
      #expect(status == .exited(0))
    }

    @Test func `udp-send prints its figures`() async throws {
      let (status, output, _) = try await run([Program.udpSend])
      #expect(status == .exited(0))
      #expect(output.contains("one by one:") && output.contains("ratio:"))
    }

    @Test func `timers finds no sleep early, and all of them over`() async throws {
      let arguments = ["--sleeps", "3", "--at-once", "50", "--pending", "2000", "--lead", "1"]
      let (status, output, _) = try await run([Program.timers] + arguments)
      #expect(status == .exited(0))
      #expect(output.contains("3 sleeps, 0 early") && output.contains("50 sleeps, 0 early"))
      #expect(output.contains("kB after"))
    }

    @Test func `pass-fd gives an open file to another process`() async throws {
      let (socket, file) = (Self.freshPath(), Self.freshPath())
      try "precious\n".write(toFile: file, atomically: false, encoding: .utf8)
      defer { for path in [socket, file] { try? FileManager.default.removeItem(atPath: path) } }
      try await withChild(["sh", "-c", "\(Program.passFd) give \(socket) \(file) & \(until(socket)); wait"]) {
        giver in
        try await giver.expect("there")
        let (status, output, _) = try await run([Program.passFd, "take", socket])
        #expect(status == .exited(0) && output == "got \(file):\nprecious\n")
      }
    }

    /// A line of shell that says when something listens on a Unix socket.
    private func until(_ path: String) -> String {
      "until socat -u /dev/null UNIX-CONNECT:\(path) 2>/dev/null; do sleep 0.01; done; echo there"
    }

    #if os(Linux)
      @Test func `watch prints what happens in its folder`() async throws {
        let folder = Self.freshPath()
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let status = try await withChild([Program.watch, folder], ends: .byItself) { watcher in
          try await watcher.expect("watching \(folder)")
          try "x".write(toFile: folder + "/a", atomically: false, encoding: .utf8)
          try await watcher.expect("created a")
          try await watcher.expect("written a")
          try FileManager.default.moveItem(atPath: folder + "/a", toPath: folder + "/b")
          try await watcher.expect("left a")
          try await watcher.expect("came b")
          try FileManager.default.removeItem(atPath: folder + "/b")
          try await watcher.expect("deleted b")
          try watcher.signal(.interrupt)
        }
        #expect(status == .exited(0))
        let (refused, _, errors) = try await run([Program.watch, "/no/such/folder"])
        #expect(refused != .exited(0) && errors.contains("can't watch /no/such/folder"))
      }
    #endif

    @Test func `all members of a multicast group print what is sent to it`() async throws {
      let group = ["--group", "239.1.2.3:\(Int.random(in: 20_000..<30_000))"]
      let status = try await withChild([Program.multicast] + group, ends: .byItself) { one in
        try await one.expect("joined 239.1.2.3")
        try await withChild([Program.multicast] + group) { other in
          try await other.expect("joined 239.1.2.3")
          let (status, _, errors) = try await run([Program.multicast, "--send", "hello"] + group)
          #expect(status == .exited(0), "\(errors)")
          for member in [one, other] {
            #expect(try await member.expect("hello").hasPrefix("127.0.0.1:"))
          }
        }
        try one.signal(.interrupt)
      }
      #expect(status == .exited(0))
    }
  }
}
