// SPDX-License-Identifier: Apache-2.0
// The programs under test, as `swift build` left them.

import Foundation
import Subprocess
import Testing

/// All tests that run programs: one after the other, so that what is timed has the machine for itself.
@Suite(.serialized, .timeLimit(.minutes(1))) enum Programs {}

/// The programs are beside the test bundle.
enum Program {
  static let httpEcho = path(of: "http-echo")
  static let listenNotify = path(of: "listen-notify")
  static let webChat = path(of: "web-chat")

  private static func path(of name: String) -> String {
    let bundle = CommandLine.arguments.first { $0.contains(".xctest") } ?? CommandLine.arguments[0]
    let end = bundle.range(of: ".xctest")?.upperBound ?? bundle.endIndex
    return URL(fileURLWithPath: String(bundle[..<end])).deletingLastPathComponent().appending(path: name).path
  }
}

/// A server that listens on a port of its own.
@discardableResult
func withServer(
  _ command: [String], ends: End = .killed, body: (_ server: Child, _ port: String) async throws -> Void
) async throws -> TerminationStatus {
  try await withChild(command + ["--port", "0"], ends: ends) { server in
    let line = try await server.expect("listening on 127.0.0.1:")
    try await body(server, line.split(separator: ":").last.map(String.init) ?? "")
  }
}

/// What a shell command prints.
func output(of script: String) async throws -> String {
  let (status, output, errors) = try await run(["sh", "-c", script])
  #expect(status == .exited(0), "\(script): \(errors)")
  return output
}

/// Expects what a shell command prints.
func expect(_ script: String, prints wanted: String) async throws {
  let printed = try await output(of: script)
  #expect(printed == wanted, "\(script)")
}
