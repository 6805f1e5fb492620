// SPDX-License-Identifier: Apache-2.0
// Bytes that tell where in the stream they belong, and reading that holds what comes against them.

import CCulvert
import Culvert

/// The bytes of every stream: number n is the rest of n by 251, so that one lost or moved is noticed at once. None is the mark.
struct TestBytes: Sendable {
  static let mark: UInt8 = 0xFF
  private static let period = 251
  static let largestRoom = 65_536

  /// More bytes than a connection holds.
  let plenty: Int
  private let all: [UInt8]

  init(plenty: Int) {
    self.plenty = max(1, plenty)
    var all = (0..<Self.period).map { UInt8($0) }
    let longest = max(self.plenty, 300_000) + Self.largestRoom
    while all.count < longest + Self.period { all += all }
    self.all = all
  }

  func write(_ range: Range<Int>, to writer: any ByteWriter) async throws(IoError) {
    let start = range.lowerBound % Self.period
    let all = all[...]  // whose span every macOS has, as an array's has not
    try await writer.write(unsafe all.span.bytes.extracting(start..<start + range.count))
  }

  func writeMark(to writer: any ByteWriter) async throws(IoError) {
    let mark = [Self.mark][...]
    try await writer.write(unsafe mark.span.bytes)
  }

  /// How many of `bytes` are those that the stream has from number `position` on.
  func commonCount(_ bytes: UnsafeRawBufferPointer, at position: Int) -> Int {
    let start = position % Self.period
    return unsafe all.withUnsafeBytes { all in
      let expected = unsafe UnsafeRawBufferPointer(rebasing: all[start..<start + bytes.count])
      // One by one a debug build takes a second for the bytes of one check.
      if unsafe bytes.isSame(as: expected) { return bytes.count }
      var count = 0
      while unsafe count < bytes.count && bytes[count] == expected[count] { count += 1 }
      return count
    }
  }

  static func byte(_ position: Int) -> UInt8 { UInt8(position % period) }
}

extension UnsafeRawBufferPointer {
  /// Whether the other one, which is as long, has the same bytes.
  func isSame(as other: UnsafeRawBufferPointer) -> Bool {
    guard let ours = baseAddress, let others = other.baseAddress else { return true }
    return unsafe memcmp(ours, others, count) == 0
  }
}

/// Memory to read into. For one task at a time.
@safe final class Room {
  let storage: UnsafeMutableRawBufferPointer

  init(_ size: Int = TestBytes.largestRoom) {
    unsafe storage = .allocate(byteCount: max(1, size), alignment: 8)
  }

  deinit { unsafe storage.deallocate() }

  /// One read behind `used` bytes, with room for `most`; what was appended stays until the next one.
  func fill(from reader: any ByteReader, most: Int, behind used: Int = 0, at start: Int = 0) async throws
    -> UnsafeRawBufferPointer
  {
    let buffer = unsafe UnsafeMutableRawBufferPointer(rebasing: storage[start..<start + used + most])
    var output = unsafe OutputRawSpan(buffer: buffer, initializedCount: used)
    let count = try await reader.read(into: &output)
    let end = unsafe output.finalize(for: buffer)
    if end - used != count { throw Unmet("returned \(count) and appended \(end - used) bytes") }
    return unsafe UnsafeRawBufferPointer(rebasing: buffer[used..<end])
  }

  /// What one read gives; nothing at the end.
  func read(from reader: any ByteReader, most: Int? = nil) async throws -> [UInt8] {
    unsafe Array(try await fill(from: reader, most: most ?? storage.count))
  }
}

/// Reads a stream, and holds it against what it should be.
struct Intake {
  private let reader: any ByteReader & Sendable
  private let bytes: TestBytes
  private let room = Room()
  /// How many bytes have come.
  private(set) var count = 0

  init(_ reader: any ByteReader & Sendable, _ bytes: TestBytes) {
    self.reader = reader
    self.bytes = bytes
  }

  private enum Stop { case none, mark, end }

  /// Reads up to the mark, with room for so many bytes in turn; returns how many bytes have come in all.
  mutating func readToMark(rooms: [Int] = [TestBytes.largestRoom]) async throws -> Int {
    var turn = 0
    while true {
      defer { turn += 1 }
      switch try await readSome(most: rooms[turn % rooms.count]) {
      case .none: continue
      case .mark: return count
      case .end: throw Unmet("the end came after \(count) bytes")
      }
    }
  }

  /// Reads up to the end; returns how many bytes have come in all.
  mutating func readToEnd() async throws -> Int {
    while true {
      switch try await readSome(most: TestBytes.largestRoom) {
      case .none: continue
      case .mark: throw Unmet("something came after \(count) bytes that was not written there")
      case .end: return count
      }
    }
  }

  /// Reads `more` bytes.
  mutating func read(_ more: Int) async throws {
    let goal = count + more
    while count < goal {
      if try await readSome(most: min(goal - count, TestBytes.largestRoom)) != .none {
        throw Unmet("of \(goal) bytes there came \(count)")
      }
    }
  }

  /// Counts what somebody else has read.
  mutating func note(_ read: [UInt8]) throws {
    _ = try unsafe read.withUnsafeBytes { try unsafe check($0) }
  }

  private mutating func readSome(most: Int) async throws -> Stop {
    let some = try unsafe await room.fill(from: reader, most: most)
    return unsafe some.isEmpty ? .end : try unsafe check(some)
  }

  private mutating func check(_ some: UnsafeRawBufferPointer) throws -> Stop {
    let common = unsafe bytes.commonCount(some, at: count)
    count += common
    if common == some.count { return .none }
    let byte = unsafe some[common]
    if byte == TestBytes.mark, common == some.count - 1 { return .mark }
    throw Unmet("byte \(count) is \(byte), and \(TestBytes.byte(count)) was written there")
  }
}
