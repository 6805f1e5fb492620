// SPDX-License-Identifier: Apache-2.0
// What the tools of this folder read from.

/// Something that bytes can be read from.
public protocol ByteReader: Sendable {
  /// Appends what is there to `buffer`, once something is; returns how many bytes, 0 at the end of the stream.
  ///
  /// Throws `.cancelled` when the task is cancelled while it waits: nothing that was read is lost by that.
  func read(into buffer: inout OutputRawSpan) async throws(IoError) -> Int
}
