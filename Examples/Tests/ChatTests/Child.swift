// SPDX-License-Identifier: Apache-2.0
// Child processes under test: what they print can be waited for, and none outlives its scope, whatever
// happens.

import Foundation
import Subprocess
import Testing

/// How long a line or an end may take. Nothing waits that long unless it fails.
let patience = Duration.seconds(20)

/// A running process: type to it, wait for its lines, signal it.
final class Child: Sendable {
  fileprivate typealias Running = Execution<CustomWriteInput, SequenceOutput, CombinedErrorOutput>

  fileprivate let transcript = Transcript()
  private let process: Running

  fileprivate init(_ process: Running) {
    self.process = process
  }

  /// Types a line.
  func type(_ line: String) async throws {
    try await type(bytes: Array("\(line)\n".utf8))
  }

  /// Types bytes that may be no line.
  func type(bytes: [UInt8]) async throws {
    _ = try await process.standardInputWriter.write(bytes)
  }

  func endInput() async throws {
    try await process.standardInputWriter.finish()
  }

  /// Waits for a line that contains the text, after the one that was expected last; returns it. Without a
  /// text any line will do.
  @discardableResult
  func expect(_ text: String? = nil, within limit: Duration = patience) async throws -> String {
    try await watched(limit) { try await $0.line(containing: text) }
  }

  /// Waits for the end of what it prints, which is when it ends.
  func expectEnd(within limit: Duration = patience) async throws {
    try await watched(limit) { try await $0.end() }
  }

  private func watched<Result: Sendable>(
    _ limit: Duration, _ wait: (Transcript) async throws -> Result
  ) async throws -> Result {
    let transcript = transcript
    let watchdog = Task {
      try await Task.sleep(for: limit)
      await transcript.giveUp()
    }
    defer { watchdog.cancel() }
    return try await wait(transcript)
  }

  /// All that was printed so far.
  var printed: [String] { get async { await transcript.lines } }

  /// Signals the process, and those that it has started.
  func signal(_ signal: Signal) throws {
    try process.send(signal: signal, toProcessGroup: true)
  }
}

/// How a child's scope ends.
enum End { case killed, byItself }

/// Runs a command with its children in a process group of its own, until `body` is through: then the group is
/// killed, or ends by itself.
@discardableResult
func withChild(
  _ command: [String], ends: End = .killed, body: (Child) async throws -> Void
) async throws -> TerminationStatus {
  var options = PlatformOptions()
  options.processGroupID = 0
  options.teardownSequence = [.send(signal: .kill, toProcessGroup: true, allowedDurationToNextStep: .zero)]
  let outcome = try await run(
    .name("env"), arguments: Arguments(command), platformOptions: options, input: .inputWriter,
    output: .sequence, error: .combinedWithOutput
  ) { process in
    let child = Child(process)
    try await withThrowingTaskGroup(of: Void.self) { tasks in
      tasks.addTask { await child.transcript.fill(from: process.standardOutput) }
      try await body(child)
      let watchdog = Task {
        if ends == .byItself { try await Task.sleep(for: patience) }
        try? child.signal(.kill)
      }
      try await tasks.waitForAll()
      watchdog.cancel()
    }
  }
  return outcome.terminationStatus
}

/// Runs a command to its end, with nothing to read.
func run(_ command: [String]) async throws -> (status: TerminationStatus, output: String, errors: String) {
  let outcome = try await run(
    .name("env"), arguments: Arguments(command), output: .string(limit: 4_000_000),
    error: .string(limit: 4_000_000))
  return (outcome.terminationStatus, outcome.standardOutput, outcome.standardError)
}

/// The lines that a process has printed.
private actor Transcript {
  private(set) var lines: [String] = []
  private var seen = 0
  private var hasEnded = false
  private var isGivenUp = false
  private var waiter: CheckedContinuation<Void, Never>?

  func fill(from output: SubprocessOutputSequence) async {
    do {
      for try await line in output.strings() {
        lines.append(line)
        wake()
      }
    } catch {
      lines.append("(\(error))")
    }
    hasEnded = true
    wake()
  }

  /// Lets those fail who wait.
  func giveUp() {
    isGivenUp = true
    wake()
  }

  private func wake() {
    waiter?.resume()
    waiter = nil
  }

  func line(containing text: String?) async throws -> String {
    while true {
      while seen < lines.count {
        seen += 1
        if text.map(lines[seen - 1].contains) ?? true { return lines[seen - 1] }
      }
      if hasEnded || isGivenUp { throw Missing(text: text ?? "anything", lines: lines) }
      await withCheckedContinuation { waiter = $0 }
    }
  }

  func end() async throws {
    while !hasEnded {
      if isGivenUp { throw Missing(text: "(the end)", lines: lines) }
      await withCheckedContinuation { waiter = $0 }
    }
  }
}

struct Missing: Error, CustomStringConvertible {
  let text: String
  let lines: [String]

  var description: String { "no line contained \"\(text)\" in time; lines: \(lines.suffix(20))" }
}
