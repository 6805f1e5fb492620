// SPDX-License-Identifier: Apache-2.0
// Many datagrams for one system call.

import CCulvert

/// Datagrams with their addresses, in memory that is allocated once and used again for each call.
///
/// ```swift
/// let batch = try DatagramBatch(capacity: 64, size: 2048)
/// while true {
///   try await socket.receiveBatch(into: batch)
///   try await socket.sendBatch(batch)  // each goes back to its sender
/// }
/// ```
/// For one task at a time. A part of it is read and written by index, 0 ..< `count`.
@safe public final class DatagramBatch {
  /// How many datagrams it has room for.
  public let capacity: Int
  /// How many bytes each of them may have.
  public let size: Int
  /// How many datagrams it holds: what was received, or appended.
  public internal(set) var count = 0
  /// How many of them the last `sendBatch` has sent: all, unless it threw.
  public internal(set) var sent = 0
  let raw: OpaquePointer

  /// Makes room for `capacity` datagrams of `size` bytes.
  ///
  /// With `joinSegments` a `size` of 65,535 has room for what the kernel joins. Throws `.invalidArgument` for a capacity not in
  /// 1...1024 or a size not in 0...65,535, `.outOfMemory`.
  public init(capacity: Int = 64, size: Int = 2048) throws(IoError) {
    let operation = "make a batch of \(capacity) datagrams of \(size) bytes"
    guard (1...1024).contains(capacity), (0...65_535).contains(size) else {
      throw IoError(.invalidArgument, during: operation)
    }
    guard let raw = unsafe culvert_batch_make(capacity, size) else {
      throw IoError(.outOfMemory, during: operation)
    }
    unsafe self.raw = raw
    self.capacity = capacity
    self.size = size
  }

  deinit { unsafe culvert_batch_free(raw) }

  /// What is known of datagram `index`; of one that was appended, the sender is where it goes to.
  public subscript(index: Int) -> Datagram {
    precondition((0..<count).contains(index), "the batch holds \(count) datagrams")
    var arrival = culvert_arrival()
    unsafe culvert_batch_arrival(raw, index, &arrival)
    return unsafe Datagram(&arrival)
  }

  /// Lends the bytes of datagram `index`; of one that was cut, those that had room.
  public func withBytes<R, Failure: Error>(
    of index: Int, _ body: (RawSpan) throws(Failure) -> R
  ) throws(Failure) -> R {
    precondition((0..<count).contains(index), "the batch holds \(count) datagrams")
    let count = unsafe culvert_batch_count(raw, index)
    let bytes = unsafe UnsafeRawBufferPointer(start: culvert_batch_bytes(raw, index), count: count)
    return try body(unsafe bytes.bytes)
  }

  /// Lends, one after the other, the datagrams that the kernel has joined into `index`: one, unless `joinSegments` is on.
  public func forEachSegment<Failure: Error>(
    of index: Int, _ body: (RawSpan) throws(Failure) -> Void
  ) throws(Failure) {
    let step = self[index].segmentSize
    try withBytes(of: index) { (all) throws(Failure) in
      guard let step else { return try body(all) }
      for start in stride(from: 0, to: all.byteCount, by: step) {
        try body(all.extracting(start..<min(start + step, all.byteCount)))
      }
    }
  }

  /// A copy of the bytes of datagram `index`.
  public func bytes(of index: Int) -> [UInt8] {
    withBytes(of: index) { span in unsafe span.withUnsafeBytes { unsafe Array($0) } }
  }

  /// Adds a datagram to be sent to `address`, or to the peer of a connected socket; false when the batch is full.
  ///
  /// With `segmentSize` it goes out as datagrams of that many bytes, as `send(segments:of:to:)` does, of which there may be 64.
  /// Throws `.messageTooLong` for more than `size` bytes.
  @discardableResult
  public func append(
    _ bytes: RawSpan, to address: SocketAddress? = nil, segmentSize: Int? = nil
  ) throws(IoError) -> Bool {
    if count == capacity { return false }
    if bytes.byteCount > size {
      throw IoError(.messageTooLong, during: "append \(bytes.byteCount) bytes to a batch of \(size)")
    }
    unsafe bytes.withUnsafeBytes { source in
      let room = unsafe UnsafeMutableRawBufferPointer(start: culvert_batch_bytes(raw, count), count: size)
      unsafe room.copyMemory(from: source)
    }
    let segment = segmentSize.map { (1..<max(bytes.byteCount, 1)).contains($0) ? $0 : 0 } ?? 0
    if let address {
      try unsafe address.withSockaddr { (pointer, length) throws(IoError) in
        unsafe culvert_batch_set(raw, count, bytes.byteCount, pointer, length, segment)
      }
    } else {
      unsafe culvert_batch_set(raw, count, bytes.byteCount, nil, 0, segment)
    }
    count += 1
    return true
  }

  /// Adds a datagram to be sent. Otherwise as `append(_:to:segmentSize:)` for a `RawSpan`.
  @discardableResult
  public func append(
    _ bytes: [UInt8], to address: SocketAddress? = nil, segmentSize: Int? = nil
  ) throws(IoError) -> Bool {
    let bytes = bytes[...]  // whose span every macOS has, as an array's has not
    return try append(unsafe bytes.span.bytes, to: address, segmentSize: segmentSize)
  }

  /// Empties it.
  public func removeAll() { (count, sent) = (0, 0) }
}
