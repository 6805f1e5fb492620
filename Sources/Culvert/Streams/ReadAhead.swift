// SPDX-License-Identifier: Apache-2.0
// Bytes that were read and not yet taken. Knows no stream and never waits.

import CCulvert

/// Bytes in one piece of memory: more are put behind them, and they are taken from the front.
///
/// The memory grows with what really came, not with what a peer says will come, and only when it is needed.
@safe struct ReadAhead: ~Copyable {
  private var storage = unsafe UnsafeMutableRawBufferPointer(start: nil, count: 0)
  private var start = 0
  private var end = 0

  /// The memory that the first byte brings.
  private static let initialCapacity = 4096
  /// What is more than this is given back when all has been taken.
  private static let keptCapacity = 65_536

  deinit { unsafe storage.deallocate() }

  /// How many bytes there are.
  var count: Int { end - start }
  /// How much memory is held for them.
  var capacity: Int { unsafe storage.count }

  /// The bytes; valid until the next change.
  var bytes: UnsafeRawBufferPointer { unsafe UnsafeRawBufferPointer(rebasing: storage[start..<end]) }

  /// Room behind the bytes: at least a byte, and no more memory than `most` bytes need, if there are less than that. Valid
  /// until the next change.
  mutating func room(upTo most: Int) -> UnsafeMutableRawBufferPointer {
    if start == end, capacity > Self.keptCapacity { replaceStorage(0) }
    if start > 0, capacity - end < capacity / 2 { moveToFront() }
    if end == capacity {
      // Twice as much at a time: a peer that sends byte by byte does not make us copy each time.
      replaceStorage(max(count + 1, min(most, max(Self.initialCapacity, count * 2))))
    }
    return unsafe UnsafeMutableRawBufferPointer(rebasing: storage[end...])
  }

  /// So many bytes of the room have been filled.
  mutating func append(_ count: Int) { end += count }

  /// Takes bytes from the front.
  mutating func drop(_ count: Int) {
    start += count
    if start == end { (start, end) = (0, 0) }
  }

  /// Where `pattern` begins, no earlier than `offset`.
  func firstIndex(of pattern: [UInt8], from offset: Int) -> Int? {
    let bytes = unsafe bytes
    var at = offset
    while at + pattern.count <= count {
      guard let first = unsafe memchr(bytes.baseAddress! + at, Int32(pattern[0]), count - at) else {
        return nil
      }
      at = unsafe UnsafeRawPointer(first) - bytes.baseAddress!
      if at + pattern.count > count { return nil }
      if unsafe bytes[at..<at + pattern.count].elementsEqual(pattern) { return at }
      at += 1
    }
    return nil
  }

  private mutating func moveToFront() {
    unsafe storage.copyMemory(from: bytes)
    (start, end) = (0, count)
  }

  private mutating func replaceStorage(_ capacity: Int) {
    let new = UnsafeMutableRawBufferPointer.allocate(byteCount: capacity, alignment: 1)
    unsafe new.copyMemory(from: bytes)
    unsafe storage.deallocate()
    unsafe storage = new
    (start, end) = (0, count)
  }
}
