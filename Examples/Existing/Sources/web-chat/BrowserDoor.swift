// SPDX-License-Identifier: Apache-2.0
// A WebSocket as a client of the chat: each text message is a line, both ways. The rules of RFC 6455 that are ours to keep are
// here; FlyingFox reads and writes the frames.

import ChatCore
import ChatServing
import FlyingFox
import Foundation

/// Lets browsers in.
struct BrowserDoor: WSHandler {
  let hub: ChatHub

  /// Refuses a page of another site: a browser would let it in.
  static func isOurs(_ request: HTTPRequest) -> Bool {
    guard let origin = request.headers[HTTPHeader("Origin")] else { return true }
    guard let host = request.headers[.host] else { return false }
    return origin == "http://\(host)" || origin == "https://\(host)"
  }

  func makeFrames(for client: AsyncThrowingStream<WSFrame, any Error>) async throws -> AsyncStream<WSFrame> {
    let outbox = Outbox(limit: ChatLimits.outbox)
    let replies = Replies()
    let id = await hub.connect(outbox)
    let hub = hub
    let reader = Task {
      let ending = await Self.read(client, as: id, to: hub, outbox, replies)
      if let ending { replies.end(ending) }
      await hub.handle(.disconnected(id))
    }
    // FlyingFox drops the frames when the connection is gone, however it went; nobody reads from a socket that it then closes.
    let whileServed = AtEnd {
      reader.cancel()
      Task { await hub.handle(.disconnected(id)) }
    }
    return AsyncStream { await Self.next(outbox, replies, whileServed) }
  }

  /// What goes to the browser next; `nil` when the connection is to be closed.
  private static func next(_ outbox: Outbox, _ replies: Replies, _: AtEnd) async -> WSFrame? {
    while let lines = await outbox.next() {
      if !lines.isEmpty { return .text(lines) }
      if let reply = replies.takeFirst() { return reply }
    }
    return replies.takeLast()
  }

  /// Reads until the browser is gone or has broken the rules; returns what it is told at last.
  private static func read(
    _ frames: AsyncThrowingStream<WSFrame, any Error>, as id: ClientId, to hub: ChatHub, _ outbox: Outbox,
    _ replies: Replies
  ) async -> WSFrame? {
    var message = BrowserMessage()
    do {
      for try await frame in frames {
        switch message.take(frame) {
        case .incomplete: break
        case .line(let line): await hub.handle(.line(line, from: id))
        case .badLine(let reason): await hub.handle(.badLine(reason, from: id))
        case .reply(let reply):
          replies.put(reply)
          outbox.nudge()
        case .close(let code): return .close(code: code)
        }
        await outbox.roomy()
      }
      return nil
    } catch {
      return .close(code: WSCloseCode(1002, reason: "that is no frame"))
    }
  }
}

/// Does something when it is dropped.
final class AtEnd: Sendable {
  private let action: @Sendable () -> Void

  init(_ action: @escaping @Sendable () -> Void) { self.action = action }

  deinit { action() }
}

extension WSFrame {
  fileprivate static func text(_ bytes: [UInt8]) -> WSFrame {
    WSFrame(fin: true, opcode: .text, mask: nil, payload: Data(bytes))
  }
}
