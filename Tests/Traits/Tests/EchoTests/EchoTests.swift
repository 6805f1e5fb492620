// SPDX-License-Identifier: Apache-2.0
// What holds with any traits, and with none.

import Culvert
import CulvertTesting
import Testing

@Suite(.timeLimit(.minutes(1))) struct EchoTests {
  @Test func `a server answers, drains, and reports, whatever traits are on`() async throws {
    try await withRuntime(workers: 1) { runtime in
      let listener = try await TcpListener.bind("127.0.0.1:0")
      let server = listener.server { stream in
        while let chunk = try await stream.read(upTo: 100) { try await stream.write(chunk) }
      }
      async let report = server.run()
      let client = try await TcpStream.connect(to: listener.localAddress)
      try await client.write("hello")
      #expect(try await BufferedReader(client).readExactly(5) == Array("hello".utf8))
      client.close()
      server.drain()
      #expect(try await report == ServeReport(served: 1))
    }
  }
}
