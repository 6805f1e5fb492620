// SPDX-License-Identifier: Apache-2.0
// The host's own part in the chat that this process serves, and what its end means for the server.

import Culvert

/// Whoever sits where the server runs.
enum Guest {
  /// Takes part, and sends the server down when the host has left on purpose.
  static func stay(in server: ChatServer, as name: String?) async throws {
    let input = try StandardInput.open()
    switch try await takePart(at: "\(server.address)", tls: nil, as: name, typing: input) {
    case .quit: server.goDown()
    case .inputEnded where input.isTerminal: server.goDown()
    case .inputEnded: await Screen.show("* standard input has ended: the server goes on, Ctrl-C ends it")
    case .serverClosed: break
    }
  }
}
