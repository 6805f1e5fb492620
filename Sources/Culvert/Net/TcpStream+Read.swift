// SPDX-License-Identifier: Apache-2.0
// Reading from a TCP connection.

import CCulvert

extension TcpStream: ByteReader {
  /// Appends what has arrived to `buffer`, once something has; returns how many bytes.
  ///
  /// 0 means that the peer has sent the end of its stream (or that `buffer` is full). Throws `.connectionReset`,
  /// `.closed`, `.cancelled`, `.shutDown`; nothing that was read is lost by cancellation. `recv(2)`.
  public func read(into buffer: inout OutputRawSpan) async throws(IoError) -> Int {
    let room = buffer.freeCapacity
    if room == 0 { return 0 }
    let count = try await bridge.call(.readable, during: "read from \(self)") { (fd) throws(IoError) in
      try unsafe buffer.withUnsafeMutableBytes { (bytes, used) throws(IoError) -> Int? in
        let free = unsafe UnsafeMutableRawBufferPointer(rebasing: bytes[used...])
        let count = try unsafe Socket.receive(fd, into: free, during: "read from \(self)")
        used += count ?? 0
        return count
      }
    }
    noteRead(count, of: room)
    return count
  }

  /// Writes what has arrived over the beginning of `buffer`, once something has; returns how many bytes, 0 at the end
  /// of the stream. Otherwise as `read(into:)` for an `OutputRawSpan`.
  public func read(into buffer: inout MutableRawSpan) async throws(IoError) -> Int {
    let room = buffer.byteCount
    if room == 0 { return 0 }
    let count = try await bridge.call(.readable, during: "read from \(self)") { (fd) throws(IoError) in
      try unsafe buffer.withUnsafeMutableBytes { (bytes) throws(IoError) in
        try unsafe Socket.receive(fd, into: bytes, during: "read from \(self)")
      }
    }
    noteRead(count, of: room)
    return count
  }

  /// Writes what has arrived over the first elements of `buffer`, once something has; returns how many bytes, 0 at the
  /// end of the stream. The array keeps its length: its elements are the room there is.
  ///
  /// ```swift
  /// var buffer = [UInt8](repeating: 0, count: 4096)
  /// while case let count = try await stream.read(into: &buffer), count > 0 {
  ///   try await stream.write(buffer[..<count])
  /// }
  /// ```
  /// Allocates nothing. Otherwise as `read(into:)` for an `OutputRawSpan`.
  public func read(into buffer: inout [UInt8]) async throws(IoError) -> Int {
    let room = buffer.count
    if room == 0 { return 0 }
    let count = try await bridge.call(.readable, during: "read from \(self)") { (fd) throws(IoError) in
      try self.receive(fd, into: &buffer, flags: 0)
    }
    noteRead(count, of: room)
    return count
  }

  /// Reads what has arrived, once something has: at least one byte and at most `limit`; `nil` at the end of the stream.
  ///
  /// Allocates the array it returns. Otherwise as `read(into:)` for an `OutputRawSpan`.
  public func read(upTo limit: Int) async throws(IoError) -> [UInt8]? {
    var bytes = [UInt8](repeating: 0, count: max(limit, 0))
    let count = try await read(into: &bytes)
    if count == 0 && limit > 0 { return nil }
    bytes.removeLast(bytes.count - count)
    return bytes
  }

  /// As `read(into:)`, but what is returned stays unread. `recv(2)` with `MSG_PEEK`.
  public func peek(into buffer: inout [UInt8]) async throws(IoError) -> Int {
    if buffer.isEmpty { return 0 }
    return try await bridge.call(.readable, during: "peek at \(self)") { (fd) throws(IoError) in
      try self.receive(fd, into: &buffer, flags: culvert_msg_peek())
    }
  }

  /// As `read(into:)`, but returns `nil` where that would wait.
  public func tryRead(into buffer: inout [UInt8]) throws(IoError) -> Int? {
    if buffer.isEmpty { return 0 }
    let count = try use("read from") { (fd) throws(IoError) in try self.receive(fd, into: &buffer, flags: 0) }
    if count == nil { bridge.clearReadiness(.readable) }
    return count
  }

  /// Returns when a read would not block: there is data, or the end of the stream, or an error to be had.
  ///
  /// Throws `.closed`, `.cancelled`, `.shutDown`. `epoll_wait(2)`, `kevent(2)`.
  public func readable() async throws(IoError) { _ = try await bridge.ready(for: .readable, of: "\(self)") }

  private func receive(_ fd: Int32, into buffer: inout [UInt8], flags: Int32) throws(IoError) -> Int? {
    try unsafe buffer.withUnsafeMutableBufferPointer { (bytes) throws(IoError) in
      let bytes = UnsafeMutableRawBufferPointer(bytes)
      return try unsafe Socket.receive(fd, into: bytes, flags: flags, during: "read from \(self)")
    }
  }

  /// A read that did not fill its room has emptied the socket: the next one waits at once, without a try.
  @inline(__always)
  private func noteRead(_ count: Int, of room: Int) {
    if count > 0 && count < room { bridge.clearReadiness(.readable) }
  }
}
