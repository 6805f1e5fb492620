// SPDX-License-Identifier: Apache-2.0
// What the tools of this folder read from and write to: sockets, pipes, and whatever else has these few methods.

/// Something that bytes can be read from.
public protocol ByteReader {
  /// Appends what is there to `buffer`, once something is; returns how many bytes, 0 at the end of the stream.
  ///
  /// The end stays the end. A buffer without room is 0 bytes at once. Throws `.cancelled` when the task is cancelled while it
  /// waits: nothing that was read is lost by that.
  func read(into buffer: inout OutputRawSpan) async throws(IoError) -> Int
}

/// Something that bytes can be written to.
public protocol ByteWriter {
  /// Writes all of `bytes`; waits while there is no room. Those of several tasks are never interleaved.
  ///
  /// Throws `.cancelled` when the task is cancelled while it waits; the error's `bytesWritten` says how many went out.
  func write(_ bytes: RawSpan) async throws(IoError)

  /// Ends the stream once all that was written has gone out: who reads at the other end finds the end there.
  func shutdown() async throws(IoError)
}

/// A stream of bytes each way, of which either can end before the other. For any task, on any thread.
public protocol ByteStream: ByteReader, ByteWriter, Sendable {
  /// Closes both directions: who waits gets `.closed`. Idempotent, and returns at once.
  func close()
}

extension ByteReader {
  /// Reads what is there, once something is: at least one byte and at most `limit`; `nil` at the end of the stream.
  ///
  /// Allocates the array it returns. Otherwise as `read(into:)`.
  public func read(upTo limit: Int) async throws(IoError) -> [UInt8]? {
    if limit <= 0 { return [] }
    let buffer = StreamBuffer(limit)
    let count = try await buffer.fill(from: self)
    return count == 0 ? nil : buffer.array(count)
  }
}

extension ByteWriter {
  /// Writes all of `bytes`. Otherwise as `write(_:)` for a `RawSpan`.
  public func write(_ bytes: [UInt8]) async throws(IoError) {
    let bytes = bytes[...]  // whose span every macOS has, as an array's has not
    try await write(unsafe bytes.span.bytes)
  }

  /// Writes `text` in UTF-8; allocates a copy of it. Otherwise as `write(_:)` for a `RawSpan`.
  public func write(_ text: String) async throws(IoError) { try await write(Array(text.utf8)) }
}
