// SPDX-License-Identifier: Apache-2.0
// A WebSocket client that can also say what no browser would.

import Culvert
import Foundation

/// The client's end of a WebSocket.
final class WebSocket {
  enum Message: Equatable {
    /// A text message, or a part of one.
    case text(String)
    case pong(String)
    case close(code: Int, reason: String)
    /// The connection has ended.
    case end
  }

  struct Refused: Error {
    let answer: String
  }

  private let stream: TcpStream
  private let reader: BufferedReader<TcpStream>

  private init(_ stream: TcpStream) {
    self.stream = stream
    reader = BufferedReader(stream, maximumLength: 1 << 24)
  }

  static func connect(to address: String, path: String) async throws -> WebSocket {
    let socket = WebSocket(try await TcpStream.connect(to: SocketAddress(address)))
    try await socket.stream.write(
      "GET \(path) HTTP/1.1\r\nHost: \(address)\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
    var answer = ""
    while let line = try await socket.reader.readLine(), !line.isEmpty { answer += line + "\n" }
    guard answer.hasPrefix("HTTP/1.1 101"), answer.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") else {
      throw Refused(answer: answer)
    }
    return socket
  }

  func send(_ text: String) async throws { try await sendFrame(opcode: 0x1, Array(text.utf8)) }

  /// Sends a frame, masked as those of clients have to be.
  func sendFrame(opcode: UInt8, final: Bool = true, _ payload: [UInt8]) async throws {
    let mask: [UInt8] = [0x12, 0x34, 0x56, 0x78]
    let masked = payload.indices.map { payload[$0] ^ mask[$0 % 4] }
    try await sendBytes(
      Self.header(opcode: opcode, final: final, length: UInt64(payload.count)) + mask + masked)
  }

  /// The beginning of a frame that may never come.
  static func header(opcode: UInt8, final: Bool, length: UInt64) -> [UInt8] {
    let first = (final ? 0x80 : 0) | opcode
    if length < 126 { return [first, 0x80 | UInt8(length)] }
    let bytes = (0..<8).map { UInt8(truncatingIfNeeded: length >> (56 - 8 * UInt64($0))) }
    return length < 65536 ? [first, 0xFE] + bytes.suffix(2) : [first, 0xFF] + bytes
  }

  func sendBytes(_ bytes: [UInt8]) async throws { try await stream.write(bytes) }

  /// The next frame.
  func receive() async throws -> Message {
    guard let head = try? await reader.readExactly(2) else { return .end }
    var length = Int(head[head.startIndex + 1])
    if length > 125 {
      let bytes = try await reader.readExactly(length == 126 ? 2 : 8)
      length = bytes.reduce(0) { $0 << 8 | Int($1) }
    }
    let payload = Array(try await reader.readExactly(length))
    switch head[head.startIndex] & 0xF {
    case 0x8:
      let code = payload.prefix(2).reduce(0) { $0 << 8 | Int($1) }
      return .close(code: code, reason: String(decoding: payload.dropFirst(2), as: UTF8.self))
    case 0xA: return .pong(String(decoding: payload, as: UTF8.self))
    default: return .text(String(decoding: payload, as: UTF8.self))
    }
  }

  func close() { stream.close() }
}
