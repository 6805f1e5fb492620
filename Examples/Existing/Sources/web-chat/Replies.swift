// SPDX-License-Identifier: Apache-2.0
// What a WebSocket's reader has to answer itself, beside the chat's lines.

import FlyingFox
import Synchronization

/// Answers that wait for the writer.
final class Replies: Sendable {
  private struct State {
    var pong: WSFrame?
    var last = WSFrame.close(code: .normalClosure)
    var isOver = false
  }
  private let state = Mutex(State())

  /// An answer to a ping; only the latest is kept, which is all that is owed.
  func put(_ reply: WSFrame) { state.withLock { $0.pong = reply } }

  func takeFirst() -> WSFrame? {
    state.withLock { state in
      defer { state.pong = nil }
      return state.pong
    }
  }

  /// What to close the connection with, if not the usual.
  func end(_ frame: WSFrame) { state.withLock { $0.last = frame } }

  /// What closes the connection, once.
  func takeLast() -> WSFrame? {
    state.withLock { state in
      defer { state.isOver = true }
      return state.isOver ? nil : state.last
    }
  }
}
