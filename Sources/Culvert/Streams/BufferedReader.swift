// SPDX-License-Identifier: Apache-2.0
// Reading ahead, and giving out what was asked for: so many bytes, a line, a frame. Bounded: no peer can make it hold more
// than one of these of the maximum length, and memory is taken for what has come, not for what was announced.

/// Reads from a stream ahead of what is asked for.
///
/// ```swift
/// let reader = BufferedReader(stream, maximumLength: 4096)
/// while let line = try await reader.readLine() { print(line) }
/// ```
/// Nothing is lost when a call is cancelled: what had come is given to the next one. What is longer than the maximum throws
/// `.limitReached`, and the next call goes on behind it. Throws what the source throws. For one task at a time; nobody else may
/// read from the source.
public final class BufferedReader<Source: ByteReader>: ByteReader {
  let source: Source
  /// How long a line, a frame, and what else is returned in one piece may be, in bytes.
  public let maximumLength: Int
  var ahead = ReadAhead()
  /// Up to here there is no end of the piece that is looked for.
  private var scanned = 0
  /// What is to be passed over first, for it was too long.
  private var skipped = Skipped.nothing
  private var hasEnded = false

  private enum Skipped {
    case nothing
    case bytes(Int)
    case through(_ delimiter: [UInt8])
  }

  /// Reads from `source`; nothing that is returned in one piece is longer than `maximumLength` bytes, which is at least 1, and
  /// at most half of what an `Int` can tell.
  public init(_ source: Source, maximumLength: Int = 65_536) {
    self.source = source
    // A length or a delimiter is added to it, and must not overflow.
    self.maximumLength = min(max(1, maximumLength), .max / 2)
  }

  /// How many bytes have been read and not yet taken.
  public var bufferedCount: Int { ahead.count }

  // MARK: bytes

  /// Appends what is there to `buffer`, once something is; returns how many bytes, 0 at the end of the stream.
  public func read(into buffer: inout OutputRawSpan) async throws(IoError) -> Int {
    try await finishSkipping()
    if buffer.freeCapacity == 0 { return 0 }
    if ahead.count == 0 {
      // A piece that is larger than what would be read ahead need not be copied.
      if buffer.freeCapacity >= 4096 { return try await source.read(into: &buffer) }
      if try await !fill(upTo: maximumLength) { return 0 }
    }
    let count = min(buffer.freeCapacity, ahead.count)
    unsafe buffer.withUnsafeMutableBytes { (bytes, used) in
      let room = unsafe UnsafeMutableRawBufferPointer(rebasing: bytes[used...])
      unsafe room.copyMemory(from: UnsafeRawBufferPointer(rebasing: ahead.bytes[..<count]))
      used += count
    }
    take(count)
    return count
  }

  /// Waits for `count` bytes, and returns them without taking them; fewer only at the end of the stream.
  ///
  /// Throws `.limitReached` for more than `maximumLength`.
  public func peek(_ count: Int) async throws(IoError) -> [UInt8] {
    _ = try await isThere(count, during: "peek at \(count) bytes")
    return unsafe Array(ahead.bytes.prefix(max(0, count)))
  }

  /// Reads just `count` bytes.
  ///
  /// Throws `.unexpectedEnd` when the stream ends before: what there is can still be read. Throws `.limitReached`, and takes
  /// nothing, for more than `maximumLength`.
  public func readExactly(_ count: Int) async throws(IoError) -> [UInt8] {
    guard try await isThere(count, during: "read \(count) bytes") else {
      throw IoError(.unexpectedEnd, during: "read \(count) bytes of which \(ahead.count) are there")
    }
    return takeArray(max(0, count))
  }

  /// Reads all that is left, at most `limit` bytes (and at most `maximumLength`, if that is not given).
  ///
  /// Throws `.limitReached` when there is more: the first of it can still be read.
  public func readToEnd(limit: Int? = nil) async throws(IoError) -> [UInt8] {
    try await finishSkipping()
    let limit = max(0, limit ?? maximumLength)
    while ahead.count <= limit, try await fill(upTo: limit == .max ? limit : limit + 1) {}
    if ahead.count > limit { throw IoError(.limitReached, during: "read to the end, up to \(limit) bytes") }
    return takeArray(ahead.count)
  }

  /// Passes over `count` bytes; fewer only at the end of the stream. Returns how many there were.
  @discardableResult
  public func skip(_ count: Int) async throws(IoError) -> Int {
    try await finishSkipping()
    var left = max(0, count)
    while left > 0 {
      if ahead.count == 0, try await !fill(upTo: maximumLength) { break }
      let some = min(left, ahead.count)
      take(some)
      left -= some
    }
    return max(0, count) - left
  }

  // MARK: for lines and frames

  /// Waits for `count` bytes; false when the stream ends before.
  func isThere(
    _ count: Int, during operation: @autoclosure () -> String, isBounded: Bool = true
  ) async throws(IoError) -> Bool {
    try await finishSkipping()
    if isBounded, count > maximumLength { throw tooLong(operation()) }
    while ahead.count < count { if try await !fill(upTo: count) { return false } }
    return true
  }

  /// Waits for `delimiter`, and returns how many bytes are before it; `nil` when the stream ends without it.
  ///
  /// Throws `.limitReached` when there are more than `most`, not counting a last one that `isNotCounted` may say is part of the
  /// end: the piece is then passed over.
  func length(
    before delimiter: [UInt8], isNotCounted last: UInt8? = nil, during operation: @autoclosure () -> String
  ) async throws(IoError) -> Int? {
    try await finishSkipping()
    while true {
      let found = ahead.firstIndex(of: delimiter, from: scanned)
      let length = found ?? max(0, ahead.count - delimiter.count + 1)
      let counted = unsafe length > 0 && ahead.bytes[length - 1] == last ? length - 1 : length
      if counted > maximumLength {
        skipped = .through(delimiter)
        throw tooLong(operation())
      }
      if found != nil { return length }
      scanned = length
      let most = maximumLength + delimiter.count + 1
      if try await !fill(upTo: most) { return nil }
    }
  }

  /// The error for a piece that is too long; its `count` bytes are passed over.
  func passOver(_ count: Int, during operation: @autoclosure () -> String) -> IoError {
    skipped = .bytes(count)
    return tooLong(operation())
  }

  /// Takes the next bytes, which are there.
  func takeArray(_ count: Int, andDrop more: Int = 0) -> [UInt8] {
    defer { take(count + more) }
    return unsafe Array(ahead.bytes[..<count])
  }

  /// Passes over bytes that are there.
  func take(_ count: Int) {
    ahead.drop(count)
    scanned = 0
  }

  private func tooLong(_ operation: String) -> IoError {
    IoError(.limitReached, during: "\(operation), of up to \(maximumLength) bytes")
  }

  /// Reads some more, so that there are at most about `most`; false at the end of the stream.
  private func fill(upTo most: Int) async throws(IoError) -> Bool {
    if hasEnded { return false }
    let room = unsafe ahead.room(upTo: most)
    var output = unsafe OutputRawSpan(buffer: room, initializedCount: 0)
    let count = try await source.read(into: &output)
    _ = unsafe output.finalize(for: room)
    ahead.append(count)
    hasEnded = count == 0
    return count > 0
  }

  private func finishSkipping() async throws(IoError) {
    while true {
      switch skipped {
      case .nothing: return
      case .bytes(let left):
        let some = min(left, ahead.count)
        take(some)
        skipped = left == some ? .nothing : .bytes(left - some)
        if left == some { return }
      case .through(let delimiter):
        if let found = ahead.firstIndex(of: delimiter, from: 0) {
          take(found + delimiter.count)
          skipped = .nothing
          return
        }
        // Its first bytes may be there already.
        take(max(0, ahead.count - delimiter.count + 1))
      }
      if try await !fill(upTo: maximumLength + 1) {
        take(ahead.count)
        skipped = .nothing
      }
    }
  }
}
