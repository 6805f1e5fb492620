// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import Culvert

@Suite(.timeLimit(.minutes(5))) struct SmokeTests {
  @Test func `echo over a runtime`() async throws {
    let answer = try await withRuntime(workers: 2) { _ in
      let listener = try await TcpListener.bind("127.0.0.1:0")
      let address = try listener.localAddress
      async let served: Void = listener.serve { stream in
        while let chunk = try await stream.read(upTo: 4096) { try await stream.write(chunk) }
      }
      let stream = try await TcpStream.connect(to: address)
      try await stream.write("hello")
      var got: [UInt8] = []
      while got.count < 5, let more = try await stream.read(upTo: 100) { got += more }
      try stream.shutdown()
      #expect(try await stream.read(upTo: 10) == nil)
      await listener.closed()
      try await served
      return String(decoding: got, as: UTF8.self)
    }
    #expect(answer == "hello")
  }

  @Test func `echo without a runtime`() async throws {
    let listener = try await TcpListener.bind("127.0.0.1:0")
    let task = Task {
      let stream = try await listener.accept()
      while let chunk = try await stream.read(upTo: 4096) { try await stream.write(chunk) }
    }
    let stream = try await TcpStream.connect(to: listener.localAddress)
    try await stream.write("hello")
    #expect(try await stream.read(upTo: 10) == Array("hello".utf8))
    stream.close()
    try await task.value
  }

  @Test func `sleep on a worker`() async throws {
    try await withRuntime(workers: 1) { _ in
      let start = ContinuousClock.now
      try await sleep(for: .milliseconds(20))
      #expect(ContinuousClock.now - start >= .milliseconds(20))
    }
  }

  @Test func `blocking entry`() throws {
    let n = try Runtime.blockOn(workers: 2) { runtime in
      try await runtime.spawn { 41 }.value + 1
    }
    #expect(n == 42)
  }
}
