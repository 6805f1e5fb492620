// SPDX-License-Identifier: Apache-2.0
// FlyingFox on Culvert, asked by curl and wrk and spoken to by hand.

import Culvert
import Foundation
import Subprocess
import Testing

extension Programs {
  @Suite struct `FlyingFox on Culvert` {
    private func withFox(_ body: (_ url: String, _ port: String, Child) async throws -> Void) async throws {
      try await withServer([Program.httpEcho]) { server, port in
        try await body("http://127.0.0.1:\(port)", port, server)
      }
    }

    @Test func `GET and POST are answered, on one connection and on many`() async throws {
      try await withFox { url, _, _ in
        try await expect("curl -sS --fail \(url)/hello \(url)/hello", prints: "hello\nhello\n")
        try await expect("curl -sS --fail -d 'some words' \(url)/echo", prints: "some words")
        let status = "curl -sS -o /dev/null -w '%{http_code}'"
        try await expect("\(status) \(url)/nothing", prints: "404")
        try await expect("\(status) \(url)/bytes/-1", prints: "400")
      }
    }

    @Test func `large bodies arrive whole, of a known length and in chunks, both ways`() async throws {
      try await withFox { url, _, _ in
        let size = 20_000_000
        for path in ["bytes", "chunked"] {
          try await expect("curl -sS --fail \(url)/\(path)/\(size) | wc -c | tr -d ' '", prints: "\(size)\n")
        }
        let body = "head -c \(size) /dev/zero"
        try await expect("\(body) | curl -sS --fail --data-binary @- \(url)/count", prints: "\(size)\n")
        let chunked = "curl -sS --fail -X POST -T - -H 'Transfer-Encoding: chunked'"
        try await expect("\(body) | \(chunked) \(url)/count", prints: "\(size)\n")
        let sum = try await output(of: "seq 100000 | cksum")
        try await expect("seq 100000 | \(chunked) \(url)/echo | cksum", prints: sum)
      }
    }

    @Test func `of many clients none has a failed request`() async throws {
      try await withFox { url, _, _ in
        let report = try await output(of: "wrk -t1 -c300 -d3s \(url)/hello")
        #expect(report.contains("requests in"))
        #expect(!report.contains("Socket errors") && !report.contains("Non-2xx"), "\(report)")
      }
    }

    @Test func `a client that hangs up, or never reads, is nobody else's problem`() async throws {
      try await withFox { url, port, _ in
        let sloth = try await TcpStream.connect(to: "127.0.0.1:\(port)")
        try await sloth.write("GET /bytes/1000000000 HTTP/1.1\r\nHost: x\r\n\r\n")
        for _ in 1...20 {
          let leaver = try await TcpStream.connect(to: "127.0.0.1:\(port)")
          try await leaver.write("GET /never HTTP/1.1\r\nHost: x\r\n\r\n")
          leaver.close()
        }
        try await expect("curl -sS --fail \(url)/hello", prints: "hello\n")
        #expect(try await sloth.read(upTo: 100) != nil)
        sloth.close()
      }
    }

    @Test func `a connection that the server closes ends at once for the client`() async throws {
      try await withFox { _, port, _ in
        let stream = try await TcpStream.connect(to: "127.0.0.1:\(port)")
        try await stream.write("GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        let answer = try await BufferedReader(stream).readToEnd()
        #expect(String(decoding: answer, as: UTF8.self).hasSuffix("\r\n\r\nhello\n"))
        stream.close()
      }
    }

    @Test(arguments: [
      "nonsense\r\n\r\n", "GET /hello HTTP/1.1\r\nContent-Length: -5\r\n\r\n", "\u{0}\u{1}\u{2}\r\n\r\n",
      "POST /count HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
      "POST /count HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\nabcd",
      "POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    ])
    func `what is no request ends its own connection, and is told in the log`(request: String) async throws {
      try await withServer([Program.httpEcho]) { server, port in
        let other = try await TcpStream.connect(to: "127.0.0.1:\(port)")
        let stream = try await TcpStream.connect(to: "127.0.0.1:\(port)")
        try await stream.write(request)
        try stream.shutdown()
        try await server.expect("error")
        _ = try? await BufferedReader(stream).readToEnd()
        stream.close()
        try await other.write("GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        let answer = try await BufferedReader(other).readToEnd()
        #expect(String(decoding: answer, as: UTF8.self).hasSuffix("hello\n"))
        other.close()
      }
    }

    @Test(arguments: [Subprocess.Signal.interrupt, .terminate])
    func `told to end it ends, clients or not, and the port is free`(signal: Subprocess.Signal) async throws {
      var address = ""
      let status = try await withServer([Program.httpEcho], ends: .byItself) { server, port in
        address = "127.0.0.1:\(port)"
        let idle = try await TcpStream.connect(to: SocketAddress(address))
        let waiting = try await TcpStream.connect(to: SocketAddress(address))
        try await waiting.write("GET /never HTTP/1.1\r\nHost: x\r\n\r\n")
        try await expect("curl -sS --fail http://\(address)/hello", prints: "hello\n")
        try server.signal(signal)
        try await server.expectEnd(within: .seconds(5))
        idle.close()
        waiting.close()
      }
      #expect(status == .exited(0))
      try await TcpListener.bind(SocketAddress(address)).close()
    }

    @Test func `a WebSocket echoes, in one piece and in several`() async throws {
      try await withFox { _, port, _ in
        let socket = try await WebSocket.connect(to: "127.0.0.1:\(port)", path: "/socket")
        try await socket.send("hello")
        #expect(try await socket.receive() == .text("hello"))
        let long = String(repeating: "0123456789", count: 10_000)
        try await socket.send(long)
        var heard = ""
        while heard.utf8.count < long.utf8.count, case .text(let part) = try await socket.receive() {
          heard += part
        }
        #expect(heard == long)
        try await socket.sendFrame(opcode: 0x9, Array("ping".utf8))
        #expect(try await socket.receive() == .pong("ping"))
        socket.close()
      }
    }
  }
}
