// SPDX-License-Identifier: Apache-2.0
// Lines, and pieces that end in a delimiter.

extension BufferedReader {
  /// The next line of UTF-8 text without its end, which is "\n" or "\r\n", or `nil` at the end of the stream; a last line may
  /// lack its newline.
  ///
  /// Throws `.limitReached` for a line of more than `maximumLength` bytes, its end not counted, and `.malformed` for one that is
  /// not UTF-8: the next call gives the line after it. Throws what the source throws; a cancelled call loses nothing.
  public func readLine() async throws(IoError) -> String? {
    let length = try await length(before: newline, isNotCounted: carriageReturn, during: "read a line")
    guard let length else { return try takeLastLine() }
    // A return belongs to the end of a line only if a newline follows.
    let endsInReturn = unsafe length > 0 && ahead.bytes[length - 1] == carriageReturn
    return try takeText(endsInReturn ? length - 1 : length, andDrop: endsInReturn ? 2 : 1)
  }

  /// The lines from here on: each as `readLine()` gives it.
  ///
  /// ```swift
  /// for try await line in BufferedReader(stream).lines { print(line) }
  /// ```
  /// Ends at the end of the stream; after an error it can be used again.
  public var lines: Lines<Source> { Lines(reader: self) }

  /// Reads through the next `delimiter`, which is included, or `nil` at the end of the stream; what is last may lack it.
  ///
  /// Throws `.limitReached` when more than `maximumLength` bytes are before it: the next call goes on behind it. Throws
  /// `.invalidArgument` for a delimiter without bytes, and what the source throws; a cancelled call loses nothing.
  public func readUntil(_ delimiter: [UInt8]) async throws(IoError) -> [UInt8]? {
    let operation = "read through a delimiter"
    if delimiter.isEmpty { throw IoError(.invalidArgument, during: operation + " of no bytes") }
    if let length = try await length(before: delimiter, during: operation) {
      return takeArray(length + delimiter.count)
    }
    if ahead.count > maximumLength { throw passOver(ahead.count, during: operation) }
    return ahead.count == 0 ? nil : takeArray(ahead.count)
  }

  /// Reads through the next byte that is `delimiter`. Otherwise as `readUntil(_:)` for several bytes.
  public func readUntil(_ delimiter: UInt8) async throws(IoError) -> [UInt8]? {
    try await readUntil([delimiter])
  }

  private func takeLastLine() throws(IoError) -> String? {
    if ahead.count == 0 { return nil }
    if ahead.count > maximumLength { throw passOver(ahead.count, during: "read a line") }
    return try takeText(ahead.count, andDrop: 0)
  }

  private func takeText(_ length: Int, andDrop more: Int) throws(IoError) -> String {
    defer { take(length + more) }
    guard let text = unsafe String(validating: ahead.bytes[..<length], as: UTF8.self) else {
      throw IoError(.malformed, during: "read a line as UTF-8")
    }
    return text
  }
}

private let newline = [UInt8(ascii: "\n")]
private let carriageReturn = UInt8(ascii: "\r")

/// The lines of a stream, one after the other.
public struct Lines<Source: ByteReader>: AsyncSequence {
  fileprivate let reader: BufferedReader<Source>

  /// Begins with the next line that has not been read.
  public func makeAsyncIterator() -> Iterator { Iterator(reader: reader) }

  /// Reads lines.
  public struct Iterator: AsyncIteratorProtocol {
    fileprivate let reader: BufferedReader<Source>

    /// The next line, as `readLine()` gives it.
    public func next() async throws(IoError) -> String? { try await reader.readLine() }
  }
}
