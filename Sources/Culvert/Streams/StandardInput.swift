// SPDX-License-Identifier: Apache-2.0
// Standard input as an async source, whatever it is.
//
// Non-blocking mode belongs to the open file description, which the shell and others share: a terminal or a pipe is
// opened anew, by name, so the mode is ours alone and goes with us. Files and /dev/null can't be waited for (epoll
// refuses them), and need not be: a read of them never waits for anybody.

import CCulvert

/// The process's standard input: a terminal, a pipe, a socket, a file or `/dev/null`.
///
/// ```swift
/// for try await line in BufferedReader(try StandardInput.open()).lines { print(line) }
/// ```
/// Reading it blocks no thread, and leaves the terminal and the shell as they were. The end of the stream is the end of
/// the file, the last writer's close, or Ctrl-D at the start of a line.
public final class StandardInput: ByteReader, Sendable {
  private let source: Source

  private enum Source {
    /// Something that can be waited for.
    case waitable(PipeReader)
    /// A file, or the like: reads return at once.
    case plain(Descriptor)
  }

  /// Whether it is a terminal, with a person at it.
  public let isTerminal: Bool

  /// Opens standard input for this process's own use. Throws what the system refuses, such as `.badDescriptor` when
  /// there is none. `open(2)`, `dup(2)`.
  public static func open() throws(IoError) -> StandardInput {
    let operation = "open standard input"
    let type = try Syscalls.fileType(STDIN_FILENO).value(during: operation)
    let isTerminal = isatty(STDIN_FILENO) == 1
    if isTerminal || type == Int(S_IFIFO) {
      let opened = Syscalls.openForReading(Platform.standardInputPath, nonblocking: true)
      if !opened.failed {
        return try StandardInput(on: AsyncRegistration(owning: Int32(opened.raw)), isTerminal: isTerminal)
      }
    }
    if isTerminal || type == Int(S_IFIFO) || type == Int(S_IFSOCK) {
      return try StandardInput(on: AsyncRegistration(borrowing: STDIN_FILENO), isTerminal: isTerminal)
    }
    let copy = try Syscalls.duplicate(STDIN_FILENO).value(during: operation)
    return StandardInput(.plain(Descriptor(adopting: Int32(copy))), isTerminal: false)
  }

  private convenience init(on registration: consuming AsyncRegistration, isTerminal: Bool) {
    self.init(.waitable(PipeReader(registration, name: "standard input")), isTerminal: isTerminal)
  }

  private init(_ source: Source, isTerminal: Bool) {
    self.source = source
    self.isTerminal = isTerminal
  }

  /// Appends what is there to `buffer`, once something is; returns how many bytes, 0 at the end.
  ///
  /// Throws `.cancelled` when the task is cancelled while it waits; nothing that was read is lost by that. `read(2)`.
  public func read(into buffer: inout OutputRawSpan) async throws(IoError) -> Int {
    switch source {
    case .waitable(let reader): try await reader.read(into: &buffer)
    case .plain(let descriptor):
      try buffer.appendNow(from: descriptor.number, during: "read standard input") ?? 0
    }
  }
}
