// SPDX-License-Identifier: Apache-2.0
// A connection without a socket: for tests, and for parts of one program that talk in bytes.

/// One end of a stream in memory.
///
/// ```swift
/// let (near, far) = DuplexStream.pair()
/// try await near.write("hello")
/// let chunk = try await far.read(upTo: 16)
/// ```
/// Behaves as a connection does: bounded, each direction with an end of its own, safe to use from any thread and from several
/// tasks at once. Dropping the last reference closes it. It needs no runtime, and the end of one does not end its waits.
public final class DuplexStream: ByteStream, CustomStringConvertible {
  private let incoming: MemoryPipe
  private let outgoing: MemoryPipe

  /// Two connected ends; each way holds up to `capacity` bytes, at least 1, and then who writes waits.
  public static func pair(capacity: Int = 65_536) -> (DuplexStream, DuplexStream) {
    let (one, other) = (MemoryPipe(capacity: capacity), MemoryPipe(capacity: capacity))
    return (DuplexStream(incoming: one, outgoing: other), DuplexStream(incoming: other, outgoing: one))
  }

  private init(incoming: MemoryPipe, outgoing: MemoryPipe) {
    self.incoming = incoming
    self.outgoing = outgoing
  }

  deinit { close() }

  /// Appends what is there to `buffer`, once something is; returns how many bytes, 0 at the end of the stream.
  ///
  /// Throws `.closed` and `.cancelled`; nothing that was read is lost by cancellation.
  public func read(into buffer: inout OutputRawSpan) async throws(IoError) -> Int {
    try await incoming.read(into: &buffer, during: "read from \(self)")
  }

  /// Writes all of `bytes`; waits while the other end does not read. Those of several tasks are never interleaved.
  ///
  /// Throws `.brokenPipe` when the other end is closed, or after `shutdown()`; `.closed`, `.cancelled`. The error's `bytesWritten` says how
  /// many went out before.
  public func write(_ bytes: RawSpan) async throws(IoError) {
    try await outgoing.write(bytes, during: "write to \(self)")
  }

  /// Ends our direction behind what was written; reading goes on. Does not wait. Throws `.closed`.
  public func shutdown() throws(IoError) { try outgoing.finish(during: "shut down \(self)") }

  /// Closes both directions: who waits gets `.closed`. The other end finds our end behind what was written. Idempotent, and
  /// returns at once.
  public func close() {
    incoming.closeReader()
    outgoing.closeWriter()
  }

  /// "stream in memory".
  public var description: String { "stream in memory" }
}
