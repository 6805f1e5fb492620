// SPDX-License-Identifier: Apache-2.0
// Messages in a stream: each arrives whole, and none is longer than it may be.
import CulvertTesting
import Testing

@testable import Culvert

@Suite(.timeLimit(watchdog)) struct FramingTests {
  /// Not stored: a delimiter that lives until the process ends counts as a leak, for Swift marks the pointer to it.
  static var all: [Framing] {
    Framing.Width.allCases.flatMap { width in
      Framing.ByteOrder.allCases.map { .lengthPrefixed(width, $0) }
    } + [.delimited(by: [0]), .delimited(by: [1, 2, 1, 3])]
  }

  @Test(arguments: all)
  func `what is written as frames is read as frames, however it is cut`(framing: Framing) async throws {
    let frames: [[UInt8]] = [[7], [], Array(repeating: 9, count: 200), [1, 2, 1], []]
    let sink = Scripted()
    for frame in frames { try await sink.writeFrame(frame, framing) }
    for size in [1, 2, 3, 7, 1000] {
      let reader = BufferedReader(Scripted(pieces(sink.bytes, of: size)), maximumLength: 200)
      var found: [[UInt8]] = []
      while let frame = try await reader.readFrame(framing) { found.append(frame) }
      #expect(found == frames)
    }
  }

  @Test func `lengths are in the order and the width that was asked for`() async throws {
    let table: [(Framing, [UInt8])] = [
      (.lengthPrefixed(), [0, 0, 0, 2]), (.lengthPrefixed(.twoBytes, .littleEndian), [2, 0]),
      (.lengthPrefixed(.threeBytes), [0, 0, 2]),
      (.lengthPrefixed(.eightBytes, .littleEndian), [2, 0, 0, 0, 0, 0, 0, 0]),
    ]
    for (framing, header) in table {
      let sink = Scripted()
      try await sink.writeFrame([5, 6], framing)
      #expect(sink.bytes == header + [5, 6])
    }
  }

  @Test func `a frame that its length can't tell, or that has its delimiter in it, is not written`()
    async throws
  {
    let sink = Scripted()
    let long = await thrown {
      try await sink.writeFrame(Array(repeating: 1, count: 256), .lengthPrefixed(.oneByte))
    }
    #expect(
      long?.code == .messageTooLong && long?.operation == "write a frame of 256 bytes, with a length of 1")
    #expect(await failure { try await sink.writeFrame([1, 0, 1], .delimited(by: [0])) } == .invalidArgument)
    #expect(await failure { try await sink.writeFrame([1], .delimited(by: [])) } == .invalidArgument)
    #expect(
      await failure { try await BufferedReader(sink).readFrame(.delimited(by: [])) } == .invalidArgument)
    #expect(sink.bytes.isEmpty)
    try await sink.writeFrame(Array(repeating: 1, count: 255), .lengthPrefixed(.oneByte))
    #expect(sink.bytes.count == 256)
  }

  @Test func `a frame whose end would begin its delimiter too early is not written`() async throws {
    let table: [(mark: String, refused: String, written: String)] = [
      ("--", "a-", "-a"), ("\r\n\r\n", "x\r\n", "\r\nx"), ("aba", "b ab", "ba "), ("aab", "aabaa", "aa"),
    ]
    for (mark, refused, written) in table {
      let framing = Framing.delimited(by: Array(mark.utf8))
      let sink = Scripted()
      #expect(await failure { try await sink.writeFrame(Array(refused.utf8), framing) } == .invalidArgument)
      try await sink.writeFrame(Array(written.utf8), framing)
      let reader = BufferedReader(Scripted([sink.bytes]))
      #expect(try await reader.readFrame(framing) == Array(written.utf8))
      #expect(try await reader.readFrame(framing) == nil)
    }
  }

  @Test(arguments: all)
  func `a frame that is too long is passed over, and the next one is given`(framing: Framing) async throws {
    let sink = Scripted()
    for frame in [[5], Array(repeating: 6, count: 21), [7]] as [[UInt8]] {
      try await sink.writeFrame(frame, framing)
    }
    for size in [1, 2, 5, 20, 100] {
      let reader = BufferedReader(Scripted(pieces(sink.bytes, of: size)), maximumLength: 20)
      #expect(try await reader.readFrame(framing) == [5])
      #expect(await failure { try await reader.readFrame(framing) } == .limitReached)
      #expect(try await reader.readFrame(framing) == [7])
      #expect(try await reader.readFrame(framing) == nil)
    }
  }

  @Test func `a length that no memory has is a frame that is too long`() async throws {
    let reader = BufferedReader(Scripted([Array(repeating: 0xFF, count: 8) + [1, 2, 3]]))
    let error = await thrown { try await reader.readFrame(.lengthPrefixed(.eightBytes)) }
    #expect(error?.code == .limitReached)
    #expect(error?.operation == "read a frame of \(Int.max) bytes, of up to 65536 bytes")
    #expect(try await reader.readFrame(.lengthPrefixed(.eightBytes)) == nil)
  }

  @Test(arguments: all)
  func `an end within a frame is told once`(framing: Framing) async throws {
    let sink = Scripted()
    try await sink.writeFrame([5, 5], framing)
    for count in 1..<sink.bytes.count {
      let reader = BufferedReader(Scripted([Array(sink.bytes[..<count])]))
      #expect(await failure { try await reader.readFrame(framing) } == .unexpectedEnd)
      #expect(try await reader.readFrame(framing) == nil)
    }
  }

  @Test func `frames of several tasks arrive whole`() async throws {
    try await withRuntime(workers: 2) { runtime in
      let (client, server) = try await TcpStream.loopbackPair()
      let framing = Framing.lengthPrefixed(.twoBytes)
      async let written: Void = withThrowingTaskGroup { group in
        for number in 0..<40 {
          group.addTask(executorPreference: runtime.nextInTurn) {
            try await client.writeFrame(Array(repeating: UInt8(number), count: 20_000 + number), framing)
          }
        }
        try await group.waitForAll()
        try client.shutdown()
      }
      let reader = BufferedReader(server)
      var seen: Set<UInt8> = []
      while let frame = try await reader.readFrame(framing) {
        #expect(frame.allSatisfy { $0 == frame[0] } && frame.count == 20_000 + Int(frame[0]))
        seen.insert(frame[0])
      }
      #expect(seen.count == 40)
      try await written
    }
  }
}
