// SPDX-License-Identifier: Apache-2.0
// The chat's two doors: browsers and netcats in the same rooms, and what comes in that does not belong there.

import Culvert
import Foundation
import Subprocess
import Testing

/// A web chat, by the ports of its doors.
@discardableResult
func withWebChat(
  _ options: [String] = [], ends: End = .killed,
  body: (_ server: Child, _ terminals: String, _ browsers: String) async throws -> Void
) async throws -> TerminationStatus {
  try await withChild([Program.webChat, "--port", "0", "--http-port", "0"] + options, ends: ends) { server in
    let terminals = try await server.expect("terminals: nc 127.0.0.1:").split(separator: ":").last ?? ""
    let browsers = try await server.expect("browsers: http://").split(separator: ":").last?.dropLast() ?? ""
    try await body(server, String(terminals), String(browsers))
  }
}

/// A netcat that is in the chat under this name.
func withPerson(_ name: String, at port: String, body: (Child) async throws -> Void) async throws {
  try await withChild(["nc", "127.0.0.1", port]) { client in
    try await client.expect("what is your name?")
    try await client.type(name)
    try await client.expect("* hello \(name)!")
    try await body(client)
  }
}

/// The lines of a chat that come over a WebSocket.
final class ChatSocket {
  let socket: WebSocket
  private var lines: [String] = []

  private init(_ socket: WebSocket) { self.socket = socket }

  static func join(_ port: String, as name: String) async throws -> ChatSocket {
    let chat = ChatSocket(try await WebSocket.connect(to: "127.0.0.1:\(port)", path: "/chat"))
    try await chat.expect("what is your name?")
    try await chat.socket.send(name)
    try await chat.expect("* hello \(name)!")
    return chat
  }

  /// Waits for a line that contains the text.
  func expect(_ text: String) async throws {
    while true {
      while !lines.isEmpty {
        if lines.removeFirst().contains(text) { return }
      }
      guard case .text(let more) = try await socket.receive() else { throw Missing(text: text, lines: []) }
      lines = more.split(separator: "\n").map(String.init)
    }
  }
}

extension Programs {
  @Suite struct `The web chat` {
    @Test func `a WebSocket and a netcat share a room, and programs are told who is there`() async throws {
      try await withWebChat { _, terminals, browsers in
        try await withPerson("nina", at: terminals) { nina in
          let web = try await ChatSocket.join(browsers, as: "wendy")
          try await nina.expect("* wendy has joined")
          try await web.socket.send("/watch")
          try await web.expect("= lobby")
          try await web.expect("+ nina wendy")
          try await nina.type("hello, web")
          try await web.expect("<nina> hello, web")
          try await web.socket.send("hello, nina\nand goodbye")
          try await nina.expect("<wendy> hello, nina and goodbye")
          try await nina.type("/join swift")
          try await web.expect("- nina")
          web.socket.close()
        }
      }
    }

    @Test func `a browser that leaves, however it does, is gone for the others`() async throws {
      try await withWebChat { _, terminals, browsers in
        try await withPerson("nina", at: terminals) { nina in
          let polite = try await ChatSocket.join(browsers, as: "polly")
          try await polite.socket.sendFrame(opcode: 0x8, [0x03, 0xE8])
          try await nina.expect("* polly has left")
          #expect(try await polite.socket.receive() == .close(code: 1000, reason: ""))
          let rude = try await ChatSocket.join(browsers, as: "rudi")
          rude.socket.close()
          try await nina.expect("* rudi has left")
          let quitter = try await ChatSocket.join(browsers, as: "quinn")
          try await quitter.socket.send("/quit")
          try await quitter.expect("* goodbye!")
          #expect(try await quitter.socket.receive() == .close(code: 1000, reason: ""))
          try await nina.expect("* quinn has left")
        }
      }
    }

    enum Mess: String, CaseIterable {
      case notUtf8, oversized, oversizedInParts, lengthBeyondAll, binary, reserved, strayContinuation,
        longControl
    }

    @Test(arguments: Mess.allCases)
    func `a frame against the rules ends its own connection, with the reason`(mess: Mess) async throws {
      try await withWebChat { _, terminals, browsers in
        try await withPerson("nina", at: terminals) { nina in
          let witness = try await ChatSocket.join(browsers, as: "wit")
          let web = try await ChatSocket.join(browsers, as: "mess")
          let code = try await make(mess, over: web.socket)
          guard case .close(let closed, let reason) = try await next(but: web) else {
            Issue.record("it was not closed")
            return
          }
          #expect(closed == code)
          #expect(!reason.isEmpty)
          try await nina.expect("* mess has left")
          try await nina.type("still here")
          try await witness.expect("<nina> still here")
          web.socket.close()
          witness.socket.close()
        }
      }
    }

    private func next(but chat: ChatSocket) async throws -> WebSocket.Message {
      while true {
        let message = try await chat.socket.receive()
        if case .text = message { continue }
        return message
      }
    }

    private func make(_ mess: Mess, over socket: WebSocket) async throws -> Int {
      switch mess {
      case .notUtf8:
        try await socket.sendFrame(opcode: 0x1, [0x68, 0xFF, 0xFE])
        return 1007
      case .oversized:
        try await socket.sendFrame(opcode: 0x1, Array(repeating: 0x78, count: 65_537))
        return 1009
      case .oversizedInParts:
        try await socket.sendFrame(opcode: 0x1, final: false, Array(repeating: 0x78, count: 60_000))
        try await socket.sendFrame(opcode: 0x0, final: false, Array(repeating: 0x78, count: 60_000))
        return 1009
      case .lengthBeyondAll:
        try await socket.sendBytes(WebSocket.header(opcode: 0x1, final: true, length: 1 << 63))
        return 1002
      case .binary:
        try await socket.sendFrame(opcode: 0x2, [1, 2, 3])
        return 1003
      case .reserved:
        try await socket.sendFrame(opcode: 0x41, [0x78])
        return 1002
      case .strayContinuation:
        try await socket.sendFrame(opcode: 0x0, [0x78])
        return 1002
      case .longControl:
        try await socket.sendFrame(opcode: 0x9, Array(repeating: 0x78, count: 126))
        return 1002
      }
    }

    @Test func `a line that is too long is answered, and the client stays`() async throws {
      try await withWebChat { _, _, browsers in
        let web = try await ChatSocket.join(browsers, as: "wendy")
        try await web.socket.send(String(repeating: "x", count: 4097))
        try await web.expect("! a line may have at most 4096 bytes")
        try await web.socket.send("still here")
        try await web.expect("<wendy> still here")
        try await web.socket.sendFrame(opcode: 0x9, Array("ping".utf8))
        #expect(try await web.socket.receive() == .pong("ping"))
        web.socket.close()
      }
    }

    @Test func `what is no handshake, and a page of another site, are refused`() async throws {
      try await withWebChat { _, _, browsers in
        let url = "http://127.0.0.1:\(browsers)"
        let status = "curl -sS -o /dev/null -w '%{http_code}' --max-time 10"
        try await expect("\(status) \(url)/", prints: "200")
        try await expect("\(status) \(url)/chat", prints: "400")
        let upgrade =
          "-H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13'"
        try await expect("\(status) \(upgrade) -H 'Sec-WebSocket-Key: short' \(url)/chat", prints: "400")
        let key = "-H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='"
        try await expect(
          "\(status) \(upgrade) \(key) -H 'Origin: http://evil.example' \(url)/chat", prints: "403")
        try await expect("\(status) -X DELETE \(url)/", prints: "404")
      }
    }

    @Test func `a browser that does not read is dropped, and the others go on`() async throws {
      try await withWebChat { _, terminals, browsers in
        let sloth = try await ChatSocket.join(browsers, as: "sloth")
        try await withPerson("nina", at: terminals) { nina in
          let flood = String(repeating: "x", count: 4000)
          for round in 1... {
            for _ in 1...50 { try await nina.type(flood) }
            try await nina.type("round \(round)")
            try await nina.expect("<nina> round \(round)")
            if await nina.printed.contains("* sloth was dropped: too slow to read") { break }
            try #require(round < 200, "forty megabytes were not too much")
          }
          try await nina.type("/who")
          try await nina.expect("* in lobby: nina")
        }
        sloth.socket.close()
      }
    }

    @Test(arguments: [Subprocess.Signal.interrupt, .terminate])
    func `told to end it tells everybody and ends`(signal: Subprocess.Signal) async throws {
      let status = try await withWebChat(ends: .byItself) { server, terminals, browsers in
        try await withPerson("nina", at: terminals) { nina in
          let web = try await ChatSocket.join(browsers, as: "wendy")
          try server.signal(signal)
          try await nina.expect("* server is going down")
          try await web.expect("* server is going down")
          #expect(try await web.socket.receive() == .close(code: 1000, reason: ""))
          try await server.expectEnd(within: .seconds(5))
          web.socket.close()
        }
      }
      #expect(status == .exited(0))
    }

    @Test func `a busy port is an error in words and exit code 1`() async throws {
      try await withWebChat { _, terminals, browsers in
        for port in ["--port \(terminals) --http-port 0", "--port 0 --http-port \(browsers)"] {
          let (status, _, errors) = try await run(["sh", "-c", "'\(Program.webChat)' \(port)"])
          #expect(status == .exited(1))
          #expect(errors.lowercased().contains("address"), "\(errors)")
        }
      }
    }
  }
}
