// SPDX-License-Identifier: Apache-2.0
// Many small writes as few large ones.

/// Collects what is written, and passes it on in larger pieces.
///
/// ```swift
/// let writer = BufferedWriter(stream)
/// for line in answer { try await writer.write(line + "\n") }
/// try await writer.flush()
/// ```
/// What was collected goes out when there is no more room for it, with `flush()`, and with `shutdown()`; not by
/// itself: what is dropped unflushed is lost. For one task at a time.
@safe public final class BufferedWriter<Destination: ByteWriter>: ByteWriter {
  private let destination: Destination
  private let storage: UnsafeMutableRawBufferPointer
  private let capacity: Int
  /// How many bytes wait for their going out.
  public private(set) var bufferedCount = 0

  /// Writes to `destination`, by `capacity` bytes at a time, which is at least 1.
  public init(_ destination: Destination, capacity: Int = 8192) {
    self.destination = destination
    self.capacity = max(1, capacity)
    unsafe storage = .allocate(byteCount: self.capacity, alignment: 1)
  }

  deinit { unsafe storage.deallocate() }

  /// Takes `bytes`, and passes on what there is no room for; what is larger than the buffer is not copied.
  ///
  /// Throws what the destination throws, for what was written before, too: `bytes` has not been taken then, but for the
  /// error's `bytesWritten`.
  public func write(_ bytes: RawSpan) async throws(IoError) {
    if bytes.byteCount > capacity - bufferedCount { try await flush() }
    if bytes.byteCount > capacity { return try await destination.write(bytes) }
    unsafe bytes.withUnsafeBytes { bytes in
      unsafe UnsafeMutableRawBufferPointer(rebasing: storage[bufferedCount...]).copyMemory(from: bytes)
    }
    bufferedCount += bytes.byteCount
  }

  /// Passes on all that was collected. Throws what the destination throws; what it has not taken stays, and goes out with the
  /// next call.
  public func flush() async throws(IoError) {
    if bufferedCount == 0 { return }
    do throws(IoError) {
      let all = unsafe UnsafeRawBufferPointer(rebasing: storage[..<bufferedCount])
      try await destination.write(unsafe all.bytes)
      bufferedCount = 0
    } catch {
      let rest = unsafe UnsafeRawBufferPointer(rebasing: storage[error.bytesWritten..<bufferedCount])
      unsafe storage.copyMemory(from: rest)
      bufferedCount = rest.count
      // None of what the caller is writing now.
      throw error.after(0)
    }
  }

  /// Passes on all that was collected, and ends the stream. Throws what the destination throws.
  public func shutdown() async throws(IoError) {
    try await flush()
    try await destination.shutdown()
  }
}
