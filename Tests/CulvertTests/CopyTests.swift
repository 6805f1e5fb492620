// SPDX-License-Identifier: Apache-2.0
// Copying between streams: every byte, each end passed on, and no end that is none.
import CulvertTesting
import Testing

@testable import Culvert

@Suite(.timeLimit(watchdog)) struct CopyTests {
  @Test func `all pieces arrive in order, and the progress is told`() async throws {
    let (source, sink) = (Scripted([[1, 2], [3], [4, 5, 6]]), Scripted())
    var progress: [Int] = []
    let count = try await copy(from: source, to: sink, bufferSize: 3) { progress.append($0) }
    #expect(count == 6 && progress == [2, 3, 6] && sink.bytes == [1, 2, 3, 4, 5, 6])
    #expect(try await copy(from: source, to: sink) == 0)
  }

  @Test func `an error says how many bytes were written in all`() async throws {
    let reset = await thrown {
      try await copy(from: Scripted([[1, 2]], thenThrowing: .connectionReset), to: Scripted())
    }
    #expect(reset?.code == .connectionReset && reset?.bytesWritten == 2)
    let sink = Scripted(limit: 3)
    let full = await thrown { try await copy(from: Scripted([[1, 2], [3, 4]]), to: sink) }
    #expect(full?.code == .brokenPipe && full?.bytesWritten == 3 && sink.bytes == [1, 2, 3])
  }

  @Test(arguments: Place.allCases)
  func `between connections each way ends on its own, and all bytes arrive`(place: Place) async throws {
    try await place.run {
      let (client, near) = try await TcpStream.loopbackPair()
      let (far, server) = try UnixStream.pair()
      async let counts = copyBidirectional(near, far, bufferSize: 1000)
      let request = countingBytes(300_000)
      async let sent: Void = {
        try await client.write(request)
        try client.shutdown()
      }()
      #expect(isSame(try await server.readAll(), request))
      try await sent
      // The client has ended, and is answered all the same.
      try await server.write("answer")
      server.close()
      #expect(try await client.readAll() == Array("answer".utf8))
      let (toFar, toNear) = try await counts
      #expect(toFar == request.count && toNear == 6)
    }
  }

  @Test func `when one way fails the other is cancelled, and no end is passed on`() async throws {
    try await withRuntime(workers: 1) { _ in
      let (client, near) = try await TcpStream.loopbackPair()
      let (far, server) = try await TcpStream.loopbackPair()
      async let code = failure { try await copyBidirectional(near, far) }
      try await client.write("x")
      #expect(try await server.readExactly(1).count == 1)
      client.reset()
      #expect(await code == .connectionReset)
      // The far side has got no end: it is ours to reset.
      var room: [UInt8] = [0]
      let nothing = try server.tryRead(into: &room)
      #expect(nothing == nil)
      far.reset()
      #expect(await failure { try await server.read(upTo: 1) } == .connectionReset)
    }
  }

  @Test func `cancelling the task cancels both ways`() async throws {
    try await withRuntime(workers: 1) { runtime in
      let (client, near) = try await TcpStream.loopbackPair()
      let (far, server) = try await TcpStream.loopbackPair()
      let copying = runtime.spawn { try await copyBidirectional(near, far) }
      await runtime.workers[0].idle()
      copying.cancel()
      let error = await thrown { _ = try await copying.value }
      #expect(error?.code == .cancelled)
      for end in [client, server] { end.close() }
    }
  }
}
