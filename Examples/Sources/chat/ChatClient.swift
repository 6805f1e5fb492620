// SPDX-License-Identifier: Apache-2.0
// The other end of a connection: what is typed goes to the server, what the server says goes to the screen.
// Shows standard input as one more stream beside a socket.

import ChatCore
import Culvert
import CulvertTLS

/// Why somebody's part in a chat was over.
enum ChatEnding: Sendable {
  case quit
  case inputEnded
  case serverClosed
}

/// Somebody at standard input, in a chat.
struct ChatClient<Stream: ByteStream>: Sendable {

  private let stream: Stream
  private let input: StandardInput
  private let name: String?

  fileprivate init(on stream: Stream, as name: String?, typing input: StandardInput) {
    (self.stream, self.name, self.input) = (stream, name, input)
  }

  fileprivate func run() async throws -> ChatEnding {
    defer { stream.close() }
    return try await withThrowingTaskGroup(of: ChatEnding?.self) { tasks in
      tasks.addTask { try await sendLines() }
      tasks.addTask {
        try await showLines()
        return nil
      }
      var ending = ChatEnding.serverClosed
      while let ended = try await tasks.next() {
        if let ended { ending = ended }
        // All is shown, so the server has gone: nobody waits for more to be typed.
        if ended == nil { tasks.cancelAll() }
      }
      return ending
    }
  }

  private func sendLines() async throws(IoError) -> ChatEnding {
    let lines = BufferedReader(input, maximumLength: ChatLimits.line)
    do throws(IoError) {
      if let name { try await stream.write(name + "\n") }
      while let line = try await nextLine(in: lines) {
        try await stream.write(line + "\n")
        if ChatCommand(line) == .quit { return .quit }
      }
      try await stream.shutdown()
      return .inputEnded
    } catch {
      switch error.code {
      case .cancelled, .brokenPipe, .connectionReset, .notConnected: return .serverClosed
      default: throw error
      }
    }
  }

  /// The next line that is one: mistakes are told here, and need not travel.
  private func nextLine(in lines: BufferedReader<StandardInput>) async throws(IoError) -> String? {
    while true {
      do throws(IoError) {
        return try await lines.readLine()
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
    let lines = BufferedReader(stream, maximumLength: ChatLimits.sentLine)
    while let line = try await lines.readLine() {
      await Screen.show(line.withoutControls)
    }
  }
}

/// Takes part in the chat at `server`, "HOST:PORT", until that closes the connection, which is what it does after `/quit` and
/// after the end of the input. With `tls` the server must prove that it is that host.
func takePart(
  at server: String, tls: TlsContext?, as name: String?, typing input: StandardInput
) async throws -> ChatEnding {
  let stream = try await TcpStream.connect(to: server)
  guard let tls else { return try await ChatClient(on: stream, as: name, typing: input).run() }
  let host = server.lastIndex(of: ":").map { String(server[..<$0]) } ?? server
  let secured = try await TlsStream.client(over: stream, host: host, context: tls)
  return try await ChatClient(on: secured, as: name, typing: input).run()
}
