// SPDX-License-Identifier: Apache-2.0
// Writing to a connection. Writes are whole: those of several tasks go out one after the other, in the order in
// which they were asked for, and are never interleaved.
//
// Nearly every write goes out at once. So that part is no async function, and what is async around it is inlined where it is
// called: a write that need not wait costs its caller a call, and no frame of a task.

import CCulvert

extension StreamSocket {
  /// Writes all of `bytes`; returns when the kernel has taken them.
  ///
  /// Throws `.brokenPipe` or `.connectionReset` when the peer is gone, `.closed`, `.cancelled`, `.shutDown`; the
  /// error's `bytesWritten` says how many went out before. A write that is cancelled in the middle leaves the peer
  /// with a part of it. `send(2)`; never raises SIGPIPE.
  @inlinable
  public final func write(_ bytes: RawSpan) async throws(IoError) {
    let sent = try sendAtOnce(bytes)
    if sent != bytes.byteCount { try await sendRest(of: bytes, after: sent) }
  }

  /// Writes all of `bytes`. Otherwise as `write(_:)` for a `RawSpan`.
  @inlinable
  public final func write(_ bytes: Span<UInt8>) async throws(IoError) {
    try await write(unsafe bytes.bytes)
  }

  /// Writes all of `bytes`. Otherwise as `write(_:)` for a `RawSpan`.
  @inlinable
  public final func write(_ bytes: [UInt8]) async throws(IoError) {
    try await write(bytes[...])
  }

  /// Writes all of `bytes`. Otherwise as `write(_:)` for a `RawSpan`.
  @inlinable
  public final func write(_ bytes: ArraySlice<UInt8>) async throws(IoError) {
    try await write(unsafe bytes.span.bytes)
  }

  /// `sendAtOnce` sent nothing: it is not our turn, or there is more to see to than one call.
  private static var notBegun: Int { -1 }

  /// Sends what the kernel takes at once, when that needs no waiting for anything; returns how many bytes, and keeps the turn
  /// if those are not all; `notBegun` if it has done nothing.
  @usableFromInline
  func sendAtOnce(_ bytes: RawSpan) throws(IoError) -> Int {
    if bytes.byteCount == 0 || !mayBeReady(.writable) || !Budget.spendOne() || !writeTurn.tryTake() {
      return Self.notBegun
    }
    do throws(IoError) {
      let sent = try send(bytes, from: 0) ?? 0
      if sent == bytes.byteCount { writeTurn.give() } else { clearReadiness(.writable) }
      return sent
    } catch {
      writeTurn.give()
      noteFailure(error)
      throw error
    }
  }

  /// What is left to do after `sendAtOnce`.
  @usableFromInline
  func sendRest(of bytes: RawSpan, after sent: Int) async throws(IoError) {
    if sent == Self.notBegun { try await writeTurn.take(during: writing) }
    defer { writeTurn.give() }
    try await send(bytes.byteCount, after: max(sent, 0)) { (_, sent) throws(IoError) in
      try self.send(bytes, from: sent)
    }
  }

  /// One call with what is left of `bytes`; how much the kernel took, `nil` when it has no room.
  @inline(__always)
  private func send(_ bytes: RawSpan, from start: Int) throws(IoError) -> Int? {
    try use(during: writing) { (fd) throws(IoError) in
      try unsafe bytes.withUnsafeBytes { (all) throws(IoError) in
        let rest = unsafe UnsafeRawBufferPointer(rebasing: all[start...])
        return try unsafe Socket.send(fd, rest, during: writing)
      }
    }
  }

  /// Writes `text` in UTF-8; allocates a copy of it. Otherwise as `write(_:)` for a `RawSpan`.
  public func write(_ text: String) async throws(IoError) { try await write(Array(text.utf8)) }

  /// Writes all of `pieces`, one after the other, in as few system calls as may be.
  ///
  /// Otherwise as `write(_:)` for a `RawSpan`. `sendmsg(2)`, up to 64 pieces at a time.
  public func write(vectored pieces: [[UInt8]]) async throws(IoError) {
    try await writeTurn.take(during: writing)
    defer { writeTurn.give() }
    var rest = PiecesToSend(pieces)
    try await send(pieces.reduce(0) { $0 + $1.count }) { (fd, _) throws(IoError) in
      try rest.sendSome(to: fd, during: writing)
    }
  }

  /// Writes what the kernel takes at once of `bytes`, and returns how many bytes that were; `nil` when it takes none,
  /// or when somebody else is writing. Throws `.brokenPipe`, `.connectionReset`, `.closed`. `send(2)`.
  public func tryWrite(_ bytes: [UInt8]) throws(IoError) -> Int? {
    guard writeTurn.tryTake() else {
      try use("write to") { _ in }  // throws if it is closed
      return nil
    }
    defer { writeTurn.give() }
    do throws(IoError) {
      let count = try use("write to") { (fd) throws(IoError) in
        try unsafe bytes.withUnsafeBufferPointer { (bytes) throws(IoError) in
          try unsafe Socket.send(fd, UnsafeRawBufferPointer(bytes), during: writing)
        }
      }
      if count == nil { clearReadiness(.writable) }
      return count
    } catch {
      noteFailure(error)
      throw error
    }
  }

  /// Returns when a write would not block: there is room in the send buffer, or an error to be had.
  ///
  /// Throws `.closed`, `.cancelled`, `.shutDown`. `epoll_wait(2)`, `kevent(2)`.
  public func writable() async throws(IoError) { _ = try await ready(for: .writable) }

  /// Sends until `total` bytes have gone out; `some` sends from an offset on and says how many the kernel took.
  @inline(__always)
  func send(
    _ total: Int, after already: Int = 0, _ some: (_ fd: Int32, _ sent: Int) throws(IoError) -> Int?
  ) async throws(IoError) {
    if total == 0 { return try use("write to") { _ in } }
    var sent = already
    do throws(IoError) {
      while sent < total {
        let count = try await call(.writable, during: writing) { (fd) throws(IoError) in
          try some(fd, sent)
        }
        sent += count
        // The buffer is full: wait at once, without a try.
        if sent < total { clearReadiness(.writable) }
      }
    } catch {
      noteFailure(error)
      throw error.after(sent)
    }
  }
}

/// Pieces of which the first ones have gone out.
private struct PiecesToSend {
  private let pieces: [[UInt8]]
  /// The piece that is next, and how much of it has gone out.
  private var next = 0
  private var offset = 0

  /// Looked at in one go: each is a level of nesting, an empty one too.
  private static let most = 64

  init(_ pieces: [[UInt8]]) {
    self.pieces = pieces
    advance(by: 0)
  }

  mutating func sendSome(to fd: Int32, during operation: @autoclosure () -> String) throws(IoError) -> Int? {
    var vectors: [iovec] = unsafe []
    unsafe vectors.reserveCapacity(min(pieces.count - next, Self.most))
    let result = unsafe withVectors(from: next, &vectors) { vectors in
      var message = unsafe msghdr()
      return unsafe vectors.withUnsafeMutableBufferPointer { vectors in
        unsafe message.msg_iov = vectors.baseAddress
        unsafe message.msg_iovlen = .init(vectors.count)
        return unsafe Syscalls.sendMessage(fd, &message)
      }
    }
    guard let count = try result.valueUnlessBlocked(during: operation()) else { return nil }
    advance(by: count)
    return count
  }

  /// Gathers the pieces' memory, which stays in place while `body` runs: one nested call for each piece.
  private func withVectors(
    from index: Int, _ vectors: inout [iovec], _ body: (inout [iovec]) -> SysResult
  ) -> SysResult {
    if index == min(pieces.count, next + Self.most) { return unsafe body(&vectors) }
    return unsafe pieces[index].withUnsafeBytes { bytes in
      let skipped = index == next ? offset : 0
      if bytes.count > skipped {
        let start = unsafe UnsafeMutableRawPointer(mutating: bytes.baseAddress! + skipped)
        unsafe vectors.append(iovec(iov_base: start, iov_len: bytes.count - skipped))
      }
      return unsafe withVectors(from: index + 1, &vectors, body)
    }
  }

  /// On return the next piece, if there is one, is not empty.
  private mutating func advance(by count: Int) {
    offset += count
    while next < pieces.count, offset >= pieces[next].count {
      offset -= pieces[next].count
      next += 1
    }
  }
}
