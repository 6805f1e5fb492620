// SPDX-License-Identifier: Apache-2.0
// Pipes: whole writes, an end behind what was written, and no signal.
import CCulvert
import CulvertTesting
import Testing

@testable import Culvert

@Suite(.timeLimit(watchdog)) struct PipeTests {
  @Test(arguments: Place.allCases)
  func `what is written arrives, and then the end`(place: Place) async throws {
    try await place.run {
      let (reader, writer) = try PipeReader.pair()
      let bytes = countingBytes(500_000)
      async let written: Void = {
        try await writer.write(bytes)
        try writer.shutdown()
      }()
      let all = try await BufferedReader(reader).readToEnd(limit: bytes.count)
      #expect(isSame(all, bytes))
      try await written
      #expect(await failure { try await writer.write("") } == .closed)
    }
  }

  /// In a process of its own, where SIGPIPE would be the end.
  @Test func `a pipe that nobody reads is an error, and no signal`() async {
    await #expect(processExitsWith: .success) {
      setWatchdog()
      for place in Place.allCases {
        try await place.run {
          let (reader, writer) = try PipeReader.pair()
          reader.close()
          await reader.closed()
          for _ in 0..<3 { #expect(await failure { try await writer.write("x") } == .brokenPipe) }
          // One of the user's own that is held back stays.
          var (mask, pending) = (sigset_t(), sigset_t())
          unsafe sigemptyset(&mask)
          unsafe sigaddset(&mask, SIGPIPE)
          unsafe pthread_sigmask(.init(SIG_BLOCK), &mask, nil)
          raise(SIGPIPE)
          let bytes: [UInt8] = [1]
          #expect(unsafe culvert_write_silently(writer.fd, bytes, 1) == -1)
          unsafe sigpending(&pending)
          #expect(unsafe sigismember(&pending, SIGPIPE) == 1)
          var number: Int32 = 0
          unsafe sigwait(&mask, &number)
          unsafe pthread_sigmask(.init(SIG_UNBLOCK), &mask, nil)
        }
      }
    }
  }

  @Test func `who writes to a full pipe waits, and is woken by the reader's close`() async throws {
    try await onOneWorker { worker in
      let (reader, writer) = try PipeReader.pair()
      async let error = thrown { try await writer.write([UInt8](repeating: 1, count: 1 << 20)) }
      async let turn = failure { try await writer.write("!") }
      await worker.idle()
      reader.close()
      #expect(await error?.code == .brokenPipe)
      #expect(await (error?.bytesWritten ?? 0) >= 4096)
      #expect(await turn == .brokenPipe)
    }
  }

  @Test func `closing the writer wakes who waits with it, and who waits for its turn`() async throws {
    try await onOneWorker { worker in
      let (reader, writer) = try PipeReader.pair()
      async let first = failure { try await writer.write([UInt8](repeating: 1, count: 1 << 20)) }
      async let second = failure { try await writer.write("!") }
      await worker.idle()
      writer.close()
      #expect(await [first, second] == [.closed, .closed])
      reader.close()
    }
  }

  @Test func `an end is taken over, or closed when it can't be`() async throws {
    let (reader, writer) = try PipeReader.pair()
    let again = try PipeReader(adopting: try await reader.releaseFd())
    let other = try PipeWriter(adopting: try await writer.releaseFd())
    try await other.write("x")
    #expect(try await again.read(upTo: 5) == Array("x".utf8))
    let code = await failure { try PipeReader(adopting: OwnedFd(adopting: again.fd)) }
    #expect(code == .alreadyRegistered)
  }
}
