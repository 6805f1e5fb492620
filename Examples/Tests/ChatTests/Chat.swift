// SPDX-License-Identifier: Apache-2.0
// The programs under test, as `swift build` left them, and real netcat clients.

import Foundation
import Subprocess
import Testing

/// All tests that run programs: one after the other, so that what is timed has the machine for itself.
@Suite(.serialized, .timeLimit(.minutes(2))) enum Programs {}

/// The programs are beside the test bundle.
enum Program {
  static let chat = path(of: "chat")
  static let drain = path(of: "drain")
  static let echo = path(of: "echo")
  static let proxy = path(of: "proxy")
  static let resolve = path(of: "resolve")
  static let multicast = path(of: "multicast")
  static let passFd = path(of: "pass-fd")
  static let timers = path(of: "timers")
  static let udpEcho = path(of: "udp-echo")
  static let udpSend = path(of: "udp-send")
  static let watch = path(of: "watch")

  private static func path(of name: String) -> String {
    let bundle = CommandLine.arguments.first { $0.contains(".xctest") } ?? CommandLine.arguments[0]
    let end = bundle.range(of: ".xctest")?.upperBound ?? bundle.endIndex
    return URL(fileURLWithPath: String(bundle[..<end])).deletingLastPathComponent().appending(path: name).path
  }
}

/// A server that listens on a port of its own, or on that one.
@discardableResult
func withServer(
  _ command: [String] = [Program.chat, "serve"], port: String = "0", ends: End = .killed,
  body: (_ server: Child, _ port: String) async throws -> Void
) async throws -> TerminationStatus {
  try await withChild(command + ["--port", port], ends: ends) { server in
    try await body(server, try await server.port())
  }
}

extension Child {
  /// The port that this server says it listens on.
  func port() async throws -> String {
    let line = try await expect("listening on 127.0.0.1:")
    return line.split(separator: ":").last.map(String.init) ?? ""
  }
}

/// A netcat that is connected, and was greeted.
func withNetcat(to port: String, body: (Child) async throws -> Void) async throws {
  try await withChild(["nc", "127.0.0.1", port]) { client in
    try await client.expect("what is your name?")
    try await body(client)
  }
}

/// Netcats that are in the lobby under these names, one after the other.
func withPeople(
  _ names: [String], at port: String, body: ([Child]) async throws -> Void
) async throws {
  guard let last = names.last else { return try await body([]) }
  try await withPeople(Array(names.dropLast()), at: port) { others in
    try await withNetcat(to: port) { client in
      try await client.type(last)
      try await client.expect("* hello \(last)!")
      for other in others { try await other.expect("* \(last) has joined") }
      try await body(others + [client])
    }
  }
}
