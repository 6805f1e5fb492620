// SPDX-License-Identifier: Apache-2.0
// Other programs as peers: openssl, curl, python3. None outlives its scope.
import CCulvert
import Culvert
import Foundation
import TestTools

/// A running program: its output can be waited for, line by line, and it can be typed to. For one task at a time.
final class Tool {
  private let program: Program
  private let reader: BufferedReader<PipeReader>
  private let input: PipeWriter

  /// Runs `command` until `body` is through, and ends it then.
  static func with<R>(_ command: [String], _ body: (Tool) async throws -> R) async throws -> R {
    let tool = try Tool(command)
    defer { tool.program.end() }
    return try await body(tool)
  }

  private init(_ command: [String]) throws {
    let (output, outputEnd) = try pipeEnds()
    let (inputEnd, input) = try pipeEnds()
    program = try spawn(command, input: inputEnd, output: outputEnd)
    reader = BufferedReader(try PipeReader(adopting: OwnedFd(adopting: output)))
    self.input = try PipeWriter(adopting: OwnedFd(adopting: input))
  }

  /// The first line from here on that has `text` in it.
  @discardableResult
  func line(with text: String) async throws -> String {
    var seen: [String] = []
    while let line = try await reader.readLine() {
      if line.contains(text) || text.isEmpty { return line }
      seen.append(line)
    }
    throw Unmet("no line with \"\(text)\" in \(seen)")
  }

  /// All that it prints from here on, once it has ended.
  func rest() async throws -> String {
    String(decoding: try await reader.readToEnd(limit: 1 << 20), as: UTF8.self)
  }

  func type(_ text: String) async throws { try await input.write(text) }

  /// What `command` prints until it ends by itself.
  static func output(_ command: [String]) async throws -> String {
    try await with(command) { try await $0.rest() }
  }

  /// Runs `command`, which takes a moment, to its end, and returns what it prints. Blocks the thread. Throws if it fails.
  @discardableResult
  static func runToEnd(_ command: [String]) throws -> String {
    let (output, outputEnd) = try pipeEnds()
    let (inputEnd, input) = try pipeEnds()
    let program = try spawn(command, input: inputEnd, output: outputEnd)
    close(input)
    _ = fcntl(output, F_SETFL, 0)
    let data = FileHandle(fileDescriptor: output, closeOnDealloc: true).readDataToEndOfFile()
    let text = String(decoding: data, as: UTF8.self)
    if program.waitForEnd() != 0 { throw Unmet("\(command.joined(separator: " ")): \(text)") }
    return text
  }
}

/// A pipe's reading and its writing end, which no program inherits.
private func pipeEnds() throws -> (reading: Int32, writing: Int32) {
  var ends: [Int32] = [-1, -1]
  guard unsafe culvert_pipe(&ends) == 0 else { throw IoError(errno: culvert_errno(), during: "make a pipe") }
  return (ends[0], ends[1])
}

/// Starts a program, whose errors go where its output goes, and closes its ends here.
private func spawn(_ command: [String], input: Int32, output: Int32) throws -> Program {
  defer {
    close(input)
    close(output)
  }
  // Other programs wait in their reads and writes.
  for end in [input, output] { _ = fcntl(end, F_SETFL, 0) }
  return try Program(command, input: input, output: output, errors: output)
}
