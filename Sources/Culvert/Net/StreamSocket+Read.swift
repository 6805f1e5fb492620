// SPDX-License-Identifier: Apache-2.0
// Reading from a connection.
//
// Nearly every read is one try, or a wait that the task has been at before and then one try. The tries are no async functions, and
// what is out of the ordinary is one of its own: so what a reading task holds while it waits is small.

import CCulvert

extension StreamSocket: ByteStream {
  /// Appends what has arrived to `buffer`, once something has; returns how many bytes.
  ///
  /// 0 means that the peer has sent the end of its stream (or that `buffer` is full). Throws `.connectionReset`, also when a
  /// write was told of it before, `.closed`, `.cancelled`, `.shutDown`; nothing that was read is lost by cancellation.
  /// `recv(2)`.
  public final func read(into buffer: inout OutputRawSpan) async throws(IoError) -> Int {
    try unsafe await read { (fill) throws(IoError) in
      try unsafe buffer.withUnsafeMutableBytes { (bytes, used) throws(IoError) in
        let count = try unsafe fill(UnsafeMutableRawBufferPointer(rebasing: bytes[used...]))
        if count > 0 { used += count }
        return count
      }
    }
  }

  /// Writes what has arrived over the beginning of `buffer`, once something has; returns how many bytes, 0 at the end
  /// of the stream. Otherwise as `read(into:)` for an `OutputRawSpan`.
  public final func read(into buffer: inout MutableRawSpan) async throws(IoError) -> Int {
    try unsafe await read { (fill) throws(IoError) in
      try unsafe buffer.withUnsafeMutableBytes { (bytes) throws(IoError) in try unsafe fill(bytes) }
    }
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
  public final func read(into buffer: inout [UInt8]) async throws(IoError) -> Int {
    try unsafe await read { (fill) throws(IoError) in
      try unsafe buffer.withUnsafeMutableBufferPointer { (bytes) throws(IoError) in
        try unsafe fill(UnsafeMutableRawBufferPointer(bytes))
      }
    }
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

  /// Reads what has arrived, once something has, and calls `body` with it; returns what that returns, `nil` at the end of the stream.
  ///
  /// ```swift
  /// while let isDone = try await stream.withChunk({ parser.consume($0) }), !isDone {}
  /// ```
  /// The bytes, up to 65,536 of them, are in memory that all connections of the worker share, and are gone when `body` returns: a
  /// connection that waits holds no buffer. They are taken whatever `body` does; what it throws is thrown. Otherwise as
  /// `read(into:)` for an `OutputRawSpan`.
  @inlinable
  public final func withChunk<R>(_ body: (RawSpan) throws -> R) async throws -> R? {
    var result: Result<R, any Error>?
    _ = try unsafe await takeChunk { bytes in result = Result { try body(unsafe bytes.bytes) } }
    return try result?.get()
  }

  /// As `withChunk`, for what is between a program and a stream and fails in ways of its own: returns how many bytes there
  /// were, 0 at the end of the stream, for which `body` is not called.
  @usableFromInline
  package final func takeChunk(_ body: (UnsafeRawBufferPointer) -> Void) async throws(IoError) -> Int {
    try unsafe await read { (fill) throws(IoError) in
      try unsafe ScratchBuffer.use { (buffer) throws(IoError) in
        let count = try unsafe fill(buffer)
        if count > 0 { unsafe body(UnsafeRawBufferPointer(rebasing: buffer[..<count])) }
        return count
      }
    }
  }

  /// As `read(into:)`, but what is returned stays unread. `recv(2)` with `MSG_PEEK`.
  public func peek(into buffer: inout [UInt8]) async throws(IoError) -> Int {
    if buffer.isEmpty { return 0 }
    let count = try await call(.readable, during: "peek at \(self)") { (fd) throws(IoError) in
      try self.receive(fd, into: &buffer, flags: culvert_msg_peek())
    }
    if count == 0 { try checkEnd(during: "peek at \(self)") }
    return count
  }

  /// As `read(into:)`, but returns `nil` where that would wait.
  public func tryRead(into buffer: inout [UInt8]) throws(IoError) -> Int? {
    if buffer.isEmpty { return 0 }
    let count = try use("read from") { (fd) throws(IoError) in try self.receive(fd, into: &buffer, flags: 0) }
    if count == nil { clearReadiness(.readable) }
    if count == 0 { try checkEnd(during: reading) }
    return count
  }

  /// Returns when a read would not block: there is data, or the end of the stream, or an error to be had.
  ///
  /// Throws `.closed`, `.cancelled`, `.shutDown`. `epoll_wait(2)`, `kevent(2)`.
  public func readable() async throws(IoError) { _ = try await ready(for: .readable) }

  private func receive(_ fd: Int32, into buffer: inout [UInt8], flags: Int32) throws(IoError) -> Int? {
    try unsafe buffer.withUnsafeMutableBufferPointer { (bytes) throws(IoError) in
      let bytes = UnsafeMutableRawBufferPointer(bytes)
      return try unsafe Socket.receive(fd, into: bytes, flags: flags, during: reading)
    }
  }

  /// A read that did not fill its room has emptied the socket: the next one waits at once, without a try.
  @inline(__always)
  fileprivate func noteRead(_ count: Int, of room: Int) throws(IoError) {
    if count == 0 { return try checkEnd(during: reading) }
    if count < room { clearReadiness(.readable) }
  }
}

// MARK: how a read goes

/// What a try answers instead of a count.
private enum ReadTry {
  /// There is nothing. The task is to wait in the lobby, which expects it, if it is in no actor's name.
  static var mustWait: Int { -1 }
  /// `readLong` does it, from the beginning: something is out of the ordinary.
  static var mustGoOn: Int { -2 }
}

extension StreamSocket {
  /// Calls its argument with memory, and returns what that returns.
  private typealias Memory =
    (_ fill: (UnsafeMutableRawBufferPointer) throws(IoError) -> Int) throws(IoError) -> Int

  /// Reads into memory that is where it is only between two waits.
  @inline(__always)
  private final func read(_ memory: Memory) async throws(IoError) -> Int {
    var count = try unsafe memory { (bytes) throws(IoError) in try unsafe readAtOnce(bytes) }
    if count == ReadTry.mustWait, !Lobby.isOpen(to: #isolation) { count = ReadTry.mustGoOn }
    if count == ReadTry.mustWait {
      let reason = await Lobby.wait()
      count = try unsafe memory { (bytes) throws(IoError) in try unsafe readWoken(bytes, reason) }
    }
    if count == ReadTry.mustGoOn { count = try unsafe await readLong(memory) }
    return count
  }

  @inline(never)
  private final func readAtOnce(_ bytes: UnsafeMutableRawBufferPointer) throws(IoError) -> Int {
    if bytes.count == 0 { return 0 }
    let outcome = try callShort(.readable, during: reading) { (fd) throws(IoError) in
      try unsafe Socket.receive(fd, into: bytes, during: reading)
    }
    switch outcome {
    case .result(let count):
      try noteRead(count, of: bytes.count)
      return count
    case .mustWait: return ReadTry.mustWait
    case .leftToCall: return ReadTry.mustGoOn
    }
  }

  @inline(never)
  private final func readWoken(
    _ bytes: UnsafeMutableRawBufferPointer, _ reason: WakeReason
  ) throws(IoError) -> Int {
    let count = try callShort(.readable, after: reason, during: reading) { (fd) throws(IoError) in
      try unsafe Socket.receive(fd, into: bytes, during: reading)
    }
    guard let count else { return ReadTry.mustGoOn }
    try noteRead(count, of: bytes.count)
    return count
  }

  @inline(never)
  private final func readLong(_ memory: Memory) async throws(IoError) -> Int {
    var room = 0
    let count = try await call(.readable, during: reading) { (fd) throws(IoError) in
      let count = try unsafe memory { (bytes) throws(IoError) in
        room = bytes.count
        return try unsafe Socket.receive(fd, into: bytes, during: reading) ?? ReadTry.mustWait
      }
      return count == ReadTry.mustWait ? nil : count
    }
    try noteRead(count, of: room)
    return count
  }
}
