// SPDX-License-Identifier: Apache-2.0
// What the frames of a browser say: a value without a socket, so that every rule can be tested by handing it frames.

import ChatCore
import FlyingFox
import Foundation

/// The message that is coming in, bounded.
struct BrowserMessage {
  enum Outcome: Equatable {
    /// There is more to come.
    case incomplete
    case line(String)
    case badLine(BadLine)
    case reply(WSFrame)
    /// The connection is over, for this reason.
    case close(WSCloseCode)
  }

  /// Over this a message is not only no line: nobody types that.
  static let limit = 64 * 1024

  private var parts: Data?

  mutating func take(_ frame: WSFrame) -> Outcome {
    if frame.rsv1 || frame.rsv2 || frame.rsv3 { return Self.close(1002, "a reserved bit is set") }
    switch frame.opcode {
    case .ping, .pong, .close: return Self.control(frame)
    case .text where parts == nil: parts = Data()
    case .continuation where parts != nil: break
    case .binary: return Self.close(1003, "only text is understood")
    default: return Self.close(1002, "unexpected frame")
    }
    guard (parts?.count ?? 0) + frame.payload.count <= Self.limit else {
      return Self.close(1009, "a message may have at most \(Self.limit) bytes")
    }
    parts?.append(frame.payload)
    guard frame.fin, let whole = parts else { return .incomplete }
    parts = nil
    return Self.line(whole)
  }

  private static func line(_ bytes: Data) -> Outcome {
    guard let text = String(validating: bytes, as: UTF8.self) else {
      return close(1007, BadLine.notUtf8.complaint)
    }
    if bytes.count > ChatLimits.line { return .badLine(.tooLong) }
    return .line(text.replacing("\n", with: " ").replacing("\r", with: " "))
  }

  private static func control(_ frame: WSFrame) -> Outcome {
    guard frame.fin, frame.payload.count <= 125 else {
      return close(1002, "a control frame of more than 125 bytes")
    }
    switch frame.opcode {
    case .ping: return .reply(WSFrame(fin: true, opcode: .pong, mask: nil, payload: frame.payload))
    case .pong: return .incomplete
    default: return close(1000, "")
    }
  }

  private static func close(_ code: UInt16, _ reason: String) -> Outcome {
    .close(WSCloseCode(code, reason: reason))
  }
}
