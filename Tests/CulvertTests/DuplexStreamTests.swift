// SPDX-License-Identifier: Apache-2.0
// A stream in memory: bounded, and with the ends of a connection. What all streams have in common is in StreamConformance.
import CulvertTesting
import Testing

@testable import Culvert

@Suite(.timeLimit(watchdog)) struct DuplexStreamTests {
  @Test(arguments: [1, 2, 100, 65_536])
  func `who writes is never further ahead than the capacity`(capacity: Int) async throws {
    try await onOneWorker { worker in
      let (near, far) = DuplexStream.pair(capacity: capacity)
      let bytes = (0..<3 * capacity).map { UInt8(truncatingIfNeeded: $0) }
      async let written: Void = near.write(bytes)
      await worker.idle()
      #expect(try await far.read(upTo: 10 * capacity)?.count == capacity)
      await worker.idle()
      let rest = try await BufferedReader(far, maximumLength: 2 * capacity).readExactly(2 * capacity)
      #expect(rest == Array(bytes[capacity...]))
      try await written
    }
  }

  @Test func `a capacity below one counts as one`() async throws {
    let (near, far) = DuplexStream.pair(capacity: -3)
    async let written: Void = near.write("abc")
    for letter in "abc".utf8 { #expect(try await far.read(upTo: 9) == [letter]) }
    try await written
  }

  @Test func `a cancelled write says what went out, and just that arrives`() async throws {
    try await withRuntime(workers: 1) { runtime in
      let (near, far) = DuplexStream.pair(capacity: 10)
      let writing = runtime.spawn { try await near.write([UInt8](repeating: 7, count: 25)) }
      await runtime.workers[0].idle()
      #expect(try await far.read(upTo: 4)?.count == 4)
      await runtime.workers[0].idle()
      writing.cancel()
      let error = await thrown { try await writing.value }
      #expect(error?.code == .cancelled && error?.bytesWritten == 14)
      try near.shutdown()
      #expect(try await BufferedReader(far).readToEnd().count == 10)
    }
  }

  @Test func `closing wakes who reads and who writes, here and there`() async throws {
    try await onOneWorker { worker in
      let (near, far) = DuplexStream.pair(capacity: 1)
      async let reading = failure { try await near.read(upTo: 1) }
      async let writing = failure { try await near.write("ab") }
      async let waiting = failure { try await near.write("cd") }
      await worker.idle()
      near.close()
      near.close()
      #expect(await [reading, writing, waiting] == [.closed, .closed, .closed])
      #expect(await failure { try await near.write("") } == .closed)
      #expect(await failure { try near.shutdown() } == .closed)
      let last = try await BufferedReader(far).readToEnd()
      #expect(last == Array("a".utf8))
      #expect(await failure { try await far.write("x") } == .brokenPipe)
    }
  }

  @Test func `who writes to an end that closes is told`() async throws {
    try await onOneWorker { worker in
      let (near, far) = DuplexStream.pair(capacity: 1)
      async let error = thrown { try await near.write("abc") }
      await worker.idle()
      far.close()
      #expect(await error?.code == .brokenPipe)
      #expect(await error?.bytesWritten == 1)
    }
  }

  @Test func `an end that nobody has any more is closed`() async throws {
    var pair: (near: DuplexStream, far: DuplexStream)? = DuplexStream.pair()
    let near = try #require(pair?.near)
    pair = nil
    #expect(try await near.read(upTo: 1) == nil)
    #expect(await failure { try await near.write("x") } == .brokenPipe)
  }

  @Test func `a task that is always served gives way to others, and notices that it is cancelled`()
    async throws
  {
    try await withRuntime(workers: 1) { runtime in
      let (near, far) = DuplexStream.pair()
      let busy = runtime.spawn {
        while true {
          try await near.write("x")
          _ = try await far.read(upTo: 1)
        }
      }
      let other = runtime.spawn {}
      try await other.value
      busy.cancel()
      #expect(await failure { try await busy.value } == .cancelled)
    }
  }
}
