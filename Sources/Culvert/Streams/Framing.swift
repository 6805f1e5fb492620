// SPDX-License-Identifier: Apache-2.0
// Messages in a stream of bytes: each with its length before it, or with a mark behind it.

/// How messages are told apart.
///
/// ```swift
/// let framing = Framing.lengthPrefixed()                    // four bytes, the greatest first
/// let reader = BufferedReader(stream, maximumLength: 1 << 20)
/// while let question = try await reader.readFrame(framing) {
///   try await stream.writeFrame(answer(question), framing)
/// }
/// ```
public struct Framing: Sendable, Hashable {
  /// How many bytes a length takes.
  public enum Width: Int, Sendable, Hashable, CaseIterable {
    /// Up to 255 bytes in a frame.
    case oneByte = 1
    /// Up to 65,535 bytes.
    case twoBytes = 2
    /// Up to 16,777,215 bytes.
    case threeBytes = 3
    /// Up to 4,294,967,295 bytes.
    case fourBytes = 4
    /// Any number of bytes.
    case eightBytes = 8
  }

  /// In which order a length's bytes come.
  public enum ByteOrder: Sendable, Hashable, CaseIterable {
    /// The greatest first, as in the headers of IP and TCP.
    case bigEndian
    /// The least first.
    case littleEndian
  }

  fileprivate enum Kind: Hashable {
    case lengthPrefixed(Width, ByteOrder)
    case delimited([UInt8])
  }
  fileprivate let kind: Kind

  /// Each frame comes behind its length in bytes, the length's own not counted.
  public static func lengthPrefixed(_ width: Width = .fourBytes, _ order: ByteOrder = .bigEndian) -> Framing {
    Framing(kind: .lengthPrefixed(width, order))
  }

  /// Each frame is followed by `delimiter`, which no frame contains, nor begins with its own end ("a-" before "--").
  public static func delimited(by delimiter: [UInt8]) -> Framing { Framing(kind: .delimited(delimiter)) }
}

extension BufferedReader {
  /// The next frame, or `nil` when the stream ends between two.
  ///
  /// Throws `.limitReached` for a frame of more than `maximumLength` bytes: nothing is taken for it, and the next call gives the one
  /// after it. Throws `.unexpectedEnd` when the stream ends within a frame: there is nothing more then. Throws
  /// `.invalidArgument` for a delimiter without bytes, and what the source throws; a cancelled call loses nothing.
  public func readFrame(_ framing: Framing) async throws(IoError) -> [UInt8]? {
    switch framing.kind {
    case .lengthPrefixed(let width, let order): try await readFrame(lengthIn: width.rawValue, order)
    case .delimited(let delimiter): try await readFrame(before: delimiter)
    }
  }

  private func readFrame(lengthIn width: Int, _ order: Framing.ByteOrder) async throws(IoError) -> [UInt8]? {
    let operation = "read a frame"
    guard try await isThere(width, during: operation, isBounded: false) else { return try endOfFrames() }
    let length = unsafe order.length(in: Array(ahead.bytes.prefix(width)))
    if length > maximumLength {
      take(width)
      throw passOver(length, during: "\(operation) of \(length) bytes")
    }
    guard try await isThere(width + length, during: operation, isBounded: false) else {
      return try endOfFrames()
    }
    take(width)
    return takeArray(length)
  }

  private func readFrame(before delimiter: [UInt8]) async throws(IoError) -> [UInt8]? {
    let operation = "read a frame"
    if delimiter.isEmpty {
      throw IoError(.invalidArgument, during: operation + " before a delimiter of no bytes")
    }
    guard let length = try await length(before: delimiter, during: operation) else {
      return try endOfFrames()
    }
    return takeArray(length, andDrop: delimiter.count)
  }

  /// The stream has ended: between two frames, or within one, which is no frame then.
  private func endOfFrames() throws(IoError) -> [UInt8]? {
    if ahead.count == 0 { return nil }
    let count = ahead.count
    take(count)
    throw IoError(.unexpectedEnd, during: "read a frame of which \(count) bytes are there")
  }
}

extension ByteWriter {
  /// Writes `bytes` as one frame, by one `write(_:)`.
  ///
  /// Throws `.messageTooLong` for more bytes than the length can tell, and `.invalidArgument` for bytes that contain the delimiter
  /// or run into it, and for a delimiter without bytes: nothing is written then. Otherwise as `write(_:)`; `bytesWritten` counts the frame's
  /// own bytes, too. Allocates the frame.
  public func writeFrame(_ bytes: [UInt8], _ framing: Framing) async throws(IoError) {
    try await write(try framing.frame(bytes))
  }
}

extension Framing {
  /// What goes over the wire.
  fileprivate func frame(_ bytes: [UInt8]) throws(IoError) -> [UInt8] {
    let operation = "write a frame of \(bytes.count) bytes"
    switch kind {
    case .lengthPrefixed(let width, let order):
      if width != .eightBytes, bytes.count >> (8 * width.rawValue) > 0 {
        throw IoError(.messageTooLong, during: "\(operation), with a length of \(width.rawValue)")
      }
      return order.bytes(of: bytes.count, width.rawValue) + bytes
    case .delimited(let delimiter):
      if delimiter.isEmpty {
        throw IoError(.invalidArgument, during: operation + " before a delimiter of no bytes")
      }
      let frame = bytes + delimiter
      // The end of the bytes may be the beginning of a delimiter, too: "-" before "--".
      if frame.dropLast().contains(delimiter) {
        throw IoError(.invalidArgument, during: operation + " that contain their delimiter, or run into it")
      }
      return frame
    }
  }
}

extension Framing.ByteOrder {
  /// A length that is too great for an `Int` is the greatest one.
  fileprivate func length(in bytes: [UInt8]) -> Int {
    let bytes = self == .bigEndian ? bytes : bytes.reversed()
    let length = bytes.reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    return Int(clamping: length)
  }

  fileprivate func bytes(of length: Int, _ width: Int) -> [UInt8] {
    let bytes = (0..<width).map { UInt8(truncatingIfNeeded: length >> (8 * $0)) }
    return self == .bigEndian ? bytes.reversed() : bytes
  }
}
