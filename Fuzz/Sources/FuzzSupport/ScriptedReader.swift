// SPDX-License-Identifier: Apache-2.0
// A stream of bytes that never waits: it comes in pieces of all sizes, and now and then a call is cancelled.

public import Culvert

/// Gives bytes in pieces whose sizes follow from `cut`: all at once for 0.
public final class ScriptedReader: ByteReader {
  private var rest: ArraySlice<UInt8>
  private var random: UInt32
  private let isWhole: Bool
  private let isInterrupted: Bool
  /// Whether calls may be cancelled now.
  public var mayInterrupt = true

  /// - Parameter cut: the top bit has calls cancelled, the others choose the sizes.
  public init(_ bytes: ArraySlice<UInt8>, cut: UInt8) {
    rest = bytes
    random = UInt32(cut)
    isWhole = cut & 0x7F == 0
    isInterrupted = cut & 0x80 != 0
  }

  private func next(below bound: UInt32) -> UInt32 {
    random = random &* 1_664_525 &+ 1_013_904_223
    return (random >> 16) % bound
  }

  /// The next piece, or the news of a cancellation: then nothing is taken.
  public func read(into buffer: inout OutputRawSpan) async throws(IoError) -> Int {
    if isInterrupted, mayInterrupt, next(below: 4) == 0 {
      throw IoError(.cancelled, during: "read")
    }
    let most = isWhole ? Int.max : [1, 2, 3, 7, 50, 5000][Int(next(below: 6))]
    let count = min(buffer.freeCapacity, most, rest.count)
    for byte in rest.prefix(count) { buffer.append(byte) }
    rest = rest.dropFirst(count)
    return count
  }
}
