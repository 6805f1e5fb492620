// SPDX-License-Identifier: Apache-2.0
// From one stream to another, in pieces: as fast as the slower of the two, and never more than a buffer behind.

/// Copies all that is left to read from `reader` to `writer`, and returns how many bytes that were.
///
/// Ends at the end of the stream, which it does not pass on: `writer.shutdown()` does that. Throws what reading or writing throws;
/// the error's `bytesWritten` says how many bytes `writer` has taken in all. What had been read and
/// not yet written is lost then, at most `bufferSize` bytes.
///
/// ```swift
/// let count = try await copy(from: upload, to: file)
/// ```
/// - Parameters:
///   - reader: what is read to its end.
///   - writer: what it is written to.
///   - bufferSize: how much is read at a time; at least 1.
///   - onProgress: called after each piece, with the bytes so far.
@discardableResult
public func copy<Reader: ByteReader, Writer: ByteWriter>(
  from reader: Reader, to writer: Writer, bufferSize: Int = 65_536, onProgress: ((Int) -> Void)? = nil
) async throws(IoError) -> Int {
  let buffer = StreamBuffer(max(1, bufferSize))
  var copied = 0
  do throws(IoError) {
    while true {
      let count = try await buffer.fill(from: reader)
      if count == 0 { return copied }
      try await buffer.empty(into: writer, count)
      copied += count
      onProgress?(copied)
    }
  } catch {
    throw error.after(copied + error.bytesWritten)
  }
}

/// Copies both ways at once until both have ended, and returns how many bytes went each way.
///
/// The end of one direction is passed on (`shutdown()`), and the other goes on: who has said all may still listen. When one way
/// fails the other is cancelled, and the error thrown: neither stream has got an end that was none, so close or reset
/// both. Cancelling the task cancels both ways.
///
/// ```swift
/// let (sent, received) = try await copyBidirectional(near, far)
/// ```
@discardableResult
public func copyBidirectional<Near: ByteStream, Far: ByteStream>(
  _ near: Near, _ far: Far, bufferSize: Int = 65_536
) async throws(IoError) -> (toFar: Int, toNear: Int) {
  // Not `async let`: the first of the two ways that fails ends the other.
  let ways = await withTaskGroup(of: Way.self) { group in
    group.addTask { .toFar(await passOn(from: near, to: far, bufferSize)) }
    group.addTask { .toNear(await passOn(from: far, to: near, bufferSize)) }
    var ways: [Way] = []
    for await way in group {
      if way.hasFailed { group.cancelAll() }
      ways.append(way)
    }
    return ways
  }
  var counts = (toFar: 0, toNear: 0)
  for way in ways {
    switch way {
    case .toFar(let result): counts.toFar = try result.get()
    case .toNear(let result): counts.toNear = try result.get()
    }
  }
  return counts
}

/// How one of two ways has ended; in the order in which they did, so that the first error is the one that is told.
private enum Way: Sendable {
  case toFar(Result<Int, IoError>)
  case toNear(Result<Int, IoError>)

  var hasFailed: Bool {
    switch self {
    case .toFar(.failure), .toNear(.failure): true
    default: false
    }
  }
}

private func passOn<Reader: ByteReader, Writer: ByteWriter>(
  from reader: Reader, to writer: Writer, _ bufferSize: Int
) async -> Result<Int, IoError> {
  do throws(IoError) {
    let count = try await copy(from: reader, to: writer, bufferSize: bufferSize)
    try await writer.shutdown()
    return .success(count)
  } catch {
    return .failure(error)
  }
}
