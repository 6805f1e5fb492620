// SPDX-License-Identifier: Apache-2.0
// A stream for tests that want to say what it does: no socket, and no waiting.
@testable import Culvert

/// A reader of given pieces, and a writer that keeps what it gets.
final class Scripted: ByteReader, ByteWriter, Sendable {
  private let pieces: Locked<[ArraySlice<UInt8>]>
  private let ending: IoError.Code?
  private let written = Locked<[UInt8]>([])
  private let isShutDown = Locked(false)
  private let limit: Locked<Int>

  /// Gives `pieces`, each by one read if there is room for it, and then the end, or an error again and again. Takes `limit`
  /// bytes in all.
  init(_ pieces: [[UInt8]] = [], thenThrowing ending: IoError.Code? = nil, limit: Int = .max) {
    self.pieces = Locked(pieces.filter { !$0.isEmpty }.map { $0[...] })
    self.ending = ending
    self.limit = Locked(limit)
  }

  /// What was written.
  var bytes: [UInt8] { written.withLock { $0 } }
  var hasEnded: Bool { isShutDown.withLock { $0 } }

  /// Takes that many bytes more.
  func allow(_ more: Int) { limit.withLock { $0 += more } }

  func read(into buffer: inout OutputRawSpan) async throws(IoError) -> Int {
    let room = buffer.freeCapacity
    let part = pieces.withLock { pieces -> ArraySlice<UInt8>? in
      guard let first = pieces.first else { return nil }
      pieces[0] = first.dropFirst(room)
      if pieces[0].isEmpty { pieces.removeFirst() }
      return first.prefix(room)
    }
    guard let part else {
      if let ending { throw IoError(ending, during: "read") }
      return 0
    }
    for byte in part { buffer.append(byte) }
    return part.count
  }

  func write(_ bytes: RawSpan) async throws(IoError) {
    let new = unsafe bytes.withUnsafeBytes { unsafe Array($0) }
    let room = limit.withLock { limit in
      defer { limit -= min(limit, new.count) }
      return limit
    }
    written.withLock { $0 += new.prefix(room) }
    if new.count > room {
      throw IoError(.brokenPipe, during: "write").after(room)
    }
  }

  func shutdown() async throws(IoError) { isShutDown.withLock { $0 = true } }
}

/// `bytes` in pieces of `size`.
func pieces(_ bytes: [UInt8], of size: Int) -> [[UInt8]] {
  stride(from: 0, to: bytes.count, by: size).map { Array(bytes[$0..<min($0 + size, bytes.count)]) }
}

/// `bytes` in pieces of random sizes, at most `most`.
func pieces(_ bytes: [UInt8], atMost most: Int, using random: inout SeededRandom) -> [[UInt8]] {
  var cut: [[UInt8]] = []
  var rest = bytes[...]
  while !rest.isEmpty {
    let size = Int.random(in: 1...most, using: &random)
    cut.append(Array(rest.prefix(size)))
    rest = rest.dropFirst(size)
  }
  return cut
}

/// Random numbers that are the same for the same seed.
struct SeededRandom: RandomNumberGenerator {
  private var state: UInt64
  init(_ seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
