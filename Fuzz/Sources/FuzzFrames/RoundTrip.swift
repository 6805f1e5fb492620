// SPDX-License-Identifier: Apache-2.0
// What is written as frames is read as the same frames, or is refused.

import Culvert
import FuzzSupport

/// An input is: which framing, one byte for it, and then the frames with a comma between them.
struct RoundTrip {
  private let framing: Framing
  /// Of a framing by marks.
  private var mark: [UInt8]?
  private var most = Int.max
  private let cut: UInt8
  private let frames: [[UInt8]]

  init(_ input: ArraySlice<UInt8>) {
    let (kind, argument) = (input.first ?? 0, input.dropFirst().first ?? 0)
    cut = argument
    switch kind % 6 {
    case 0: (framing, most) = (.lengthPrefixed(.oneByte), 255)
    case 1: framing = .lengthPrefixed(.twoBytes, .littleEndian)
    case 2: framing = .lengthPrefixed(.threeBytes, .bigEndian)
    case 3:
      framing = .delimited(by: [argument])
      mark = [argument]
    case 4:
      framing = .delimited(by: [argument, argument])
      mark = [argument, argument]
    default:
      framing = .delimited(by: [13, 10, argument, 10])
      mark = [13, 10, argument, 10]
    }
    frames = input.dropFirst(2).split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false).map {
      Array($0)
    }
  }

  func run() async {
    let sink = Sink()
    var written: [[UInt8]] = []
    for frame in frames {
      do throws(IoError) {
        try await sink.writeFrame(frame, framing)
        written.append(frame)
      } catch {
        check(!isPossible(frame), "\(frame) was refused: \(error)")
      }
    }
    let reader = BufferedReader(ScriptedReader(sink.bytes[...], cut: cut & 0x7F))
    var found: [[UInt8]] = []
    do throws(IoError) {
      while let frame = try await reader.readFrame(framing) { found.append(frame) }
    } catch {
      check(false, "\(error) in what was written")
    }
    check(found == written, "\(found) came of \(written)")
  }

  /// Whether the reader can tell where it ends.
  private func isPossible(_ frame: [UInt8]) -> Bool {
    guard let mark else { return frame.count <= most }
    let wire = frame + mark
    return (0..<frame.count).allSatisfy { !wire.dropFirst($0).starts(with: mark) }
  }
}

/// Keeps what is written.
private final class Sink: ByteWriter {
  var bytes: [UInt8] = []

  func write(_ bytes: RawSpan) async throws(IoError) {
    for offset in 0..<bytes.byteCount {
      self.bytes.append(unsafe bytes.unsafeLoad(fromByteOffset: offset, as: UInt8.self))
    }
  }
  func shutdown() async throws(IoError) {}
}
