// SPDX-License-Identifier: Apache-2.0
// Memory that a piece of a stream is read into.

/// Memory for one piece. For one task at a time.
@safe final class StreamBuffer {
  private let storage: UnsafeMutableRawBufferPointer

  init(_ size: Int) {
    unsafe storage = .allocate(byteCount: size, alignment: 1)
  }

  deinit { unsafe storage.deallocate() }

  /// Reads into it from the beginning.
  func fill(from reader: some ByteReader) async throws(IoError) -> Int {
    var output = unsafe OutputRawSpan(buffer: storage, initializedCount: 0)
    let count = try await reader.read(into: &output)
    _ = unsafe output.finalize(for: storage)
    return count
  }

  /// Writes the first `count` bytes.
  func empty(into writer: some ByteWriter, _ count: Int) async throws(IoError) {
    let piece = unsafe UnsafeRawBufferPointer(rebasing: storage[..<count])
    try await writer.write(unsafe piece.bytes)
  }

  /// A copy of the first `count` bytes.
  func array(_ count: Int) -> [UInt8] { unsafe [UInt8](storage[..<count]) }
}
