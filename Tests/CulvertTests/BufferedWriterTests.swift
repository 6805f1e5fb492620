// SPDX-License-Identifier: Apache-2.0
// Collecting what is written: few large writes, in order, and nothing twice.
import Testing

@testable import Culvert

/// Counts writes.
private final class Counting: ByteWriter {
  let sink = Scripted()
  var writes = 0

  func write(_ bytes: RawSpan) async throws(IoError) {
    writes += 1
    try await sink.write(bytes)
  }
  func shutdown() async throws(IoError) { try await sink.shutdown() }
}

@Suite(.timeLimit(watchdog)) struct BufferedWriterTests {
  @Test func `small writes go out as few, in order`() async throws {
    let destination = Counting()
    let writer = BufferedWriter(destination, capacity: 100)
    for number in 0..<250 { try await writer.write([UInt8(number)]) }
    #expect(destination.writes == 2 && writer.bufferedCount == 50)
    try await writer.flush()
    try await writer.flush()
    #expect(destination.writes == 3 && destination.sink.bytes == (0..<250).map { UInt8($0) })
  }

  @Test func `what is larger than the buffer goes out behind what was collected`() async throws {
    let destination = Counting()
    let writer = BufferedWriter(destination, capacity: 4)
    try await writer.write("ab")
    try await writer.write("cdefgh")
    #expect(destination.writes == 2 && writer.bufferedCount == 0)
    try await writer.write("ijkl")
    #expect(destination.writes == 2 && writer.bufferedCount == 4)
    try await writer.shutdown()
    #expect(destination.sink.bytes == Array("abcdefghijkl".utf8) && destination.sink.hasEnded)
  }

  @Test func `what the destination has not taken goes out later, and nothing twice`() async throws {
    let sink = Scripted(limit: 3)
    let writer = BufferedWriter(sink, capacity: 8)
    try await writer.write("abcdef")
    let error = await thrown { try await writer.flush() }
    #expect(error?.code == .brokenPipe && error?.bytesWritten == 0 && writer.bufferedCount == 3)
    // Nothing of this was taken.
    #expect(await failure { try await writer.write("123456") } == .brokenPipe)
    sink.allow(100)
    try await writer.write("gh")
    try await writer.flush()
    #expect(sink.bytes == Array("abcdefgh".utf8))
  }

  @Test func `a capacity below one counts as one`() async throws {
    let sink = Scripted()
    let writer = BufferedWriter(sink, capacity: 0)
    for text in ["a", "b", "cd", ""] { try await writer.write(text) }
    #expect(sink.bytes == Array("abcd".utf8))
  }
}
