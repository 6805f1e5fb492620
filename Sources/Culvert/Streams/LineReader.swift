// SPDX-License-Identifier: Apache-2.0
// Lines out of bytes, bounded: no peer can make it hold more than one line of the maximum length.

/// Reads lines of UTF-8 text, ended by "\n" or "\r\n".
///
/// ```swift
/// let lines = LineReader(stream, maximumLength: 4096)
/// while let line = try await lines.next() { print(line) }
/// ```
/// For one task at a time.
@safe public final class LineReader<Source: ByteReader> {
  private let source: Source
  private let maximumLength: Int
  private let storage: UnsafeMutableRawBufferPointer
  /// What has been read and not yet returned: `storage[start..<end]`; up to `scanned` there is no newline in it.
  private var start = 0
  private var scanned = 0
  private var end = 0
  /// The rest of a line that was too long is being passed over.
  private var isSkipping = false
  private var hasEnded = false

  /// Reads from `source`; lines may be `maximumLength` bytes long, their ends not counted.
  public init(_ source: Source, maximumLength: Int = 4096) {
    self.source = source
    self.maximumLength = max(1, maximumLength)
    unsafe storage = .allocate(byteCount: self.maximumLength + 2, alignment: 1)
  }

  deinit { unsafe storage.deallocate() }

  /// The next line without its end, or `nil` at the end of the stream; a last line may lack its newline.
  ///
  /// Throws `.limitReached` for a line that is too long and `.malformed` for one that is not UTF-8: the next call
  /// gives the line after it. Throws what the source throws; a cancelled call loses nothing.
  public func next() async throws(IoError) -> String? {
    while true {
      if let line = try takeLine() { return line }
      if hasEnded { return try takeLast() }
      try await fill()
    }
  }

  /// The next complete line that was read, if there is one.
  private func takeLine() throws(IoError) -> String? {
    while let newline = findNewline() {
      let line = start..<newline
      start = newline + 1
      scanned = start
      if isSkipping {
        isSkipping = false
        continue
      }
      return try text(line, isEnded: true)
    }
    if isSkipping {
      (start, scanned, end) = (0, 0, 0)
    } else if end - start > maximumLength + 1 || (end - start > maximumLength && !endsInReturn) {
      (start, scanned, end) = (0, 0, 0)
      isSkipping = true
      throw tooLong
    }
    return nil
  }

  private func takeLast() throws(IoError) -> String? {
    defer { (start, scanned, end) = (0, 0, 0) }
    return start == end ? nil : try text(start..<end, isEnded: false)
  }

  private var endsInReturn: Bool { unsafe end > start && storage[end - 1] == UInt8(ascii: "\r") }

  private func findNewline() -> Int? {
    while scanned < end {
      if unsafe storage[scanned] == UInt8(ascii: "\n") { return scanned }
      scanned += 1
    }
    return nil
  }

  /// The text of a line. A return belongs to the end of the line only if a newline follows.
  private func text(_ range: Range<Int>, isEnded: Bool) throws(IoError) -> String {
    var bytes = unsafe UnsafeRawBufferPointer(rebasing: storage[range])
    if isEnded, unsafe bytes.last == UInt8(ascii: "\r") {
      unsafe bytes = UnsafeRawBufferPointer(rebasing: bytes.dropLast())
    }
    if bytes.count > maximumLength { throw tooLong }
    guard let text = unsafe String(validating: bytes, as: UTF8.self) else {
      throw IoError(.malformed, during: "read a line as UTF-8")
    }
    return text
  }

  private var tooLong: IoError {
    IoError(.limitReached, during: "read a line of up to \(maximumLength) bytes")
  }

  /// Reads more behind what is there, after moving that to the front.
  private func fill() async throws(IoError) {
    if start > 0 {
      unsafe storage.copyMemory(from: UnsafeRawBufferPointer(rebasing: storage[start..<end]))
      (start, scanned, end) = (0, scanned - start, end - start)
    }
    let free = unsafe UnsafeMutableRawBufferPointer(rebasing: storage[end...])
    var output = unsafe OutputRawSpan(buffer: free, initializedCount: 0)
    let count = try await source.read(into: &output)
    _ = unsafe output.finalize(for: free)
    end += count
    if count == 0 { hasEnded = true }
  }
}
