// SPDX-License-Identifier: Apache-2.0
// The other end of a connection: what is typed goes to the server, what the server says goes to the screen.
// Shows standard input as one more stream beside a socket.

import ChatCore
import Culvert

/// Somebody at standard input, in a chat.
struct ChatClient: Sendable {
  /// Why it was over.
  enum Ending: Sendable {
    case quit
    case inputEnded
    case serverClosed
  }

  private let stream: TcpStream
  private let input: StandardInput
  private let name: String?

  /// Takes part until the server closes the connection, which is what it does after `/quit` and after the end
  /// of the input.
  static func run(at server: SocketAddress, as name: String?, typing input: StandardInput) async throws
    -> Ending
  {
    let stream = try await TcpStream.connect(to: server)
    defer { stream.close() }
    return try await ChatClient(stream: stream, input: input, name: name).run()
  }

  private func run() async throws -> Ending {
    try await withThrowingTaskGroup(of: Ending?.self) { tasks in
      tasks.addTask { try await sendLines() }
      tasks.addTask {
        try await showLines()
        return nil
      }
      var ending = Ending.serverClosed
      while let ended = try await tasks.next() {
        if let ended { ending = ended }
        // All is shown, so the server has gone: nobody waits for more to be typed.
        if ended == nil { tasks.cancelAll() }
      }
      return ending
    }
  }

  private func sendLines() async throws(IoError) -> Ending {
    let lines = LineReader(input, maximumLength: ChatLimits.line)
    do throws(IoError) {
      if let name { try await stream.write(name + "\n") }
      while let line = try await nextLine(in: lines) {
        try await stream.write(line + "\n")
        if ChatCommand(line) == .quit { return .quit }
      }
      try stream.shutdown()
      return .inputEnded
    } catch {
      switch error.code {
      case .cancelled, .brokenPipe, .connectionReset, .notConnected: return .serverClosed
      default: throw error
      }
    }
  }

  /// The next line that is one: mistakes are told here, and need not travel.
  private func nextLine(in lines: LineReader<StandardInput>) async throws(IoError) -> String? {
    while true {
      do throws(IoError) {
        return try await lines.next()
      } catch {
        switch error.code {
        case .limitReached: await Screen.show(BadLine.tooLong.complaint)
        case .malformed: await Screen.show(BadLine.notUtf8.complaint)
        default: throw error
        }
      }
    }
  }

  private func showLines() async throws {
    let lines = LineReader(stream, maximumLength: ChatLimits.sentLine)
    while let line = try await lines.next() {
      await Screen.show(line.withoutControls)
    }
  }
}
