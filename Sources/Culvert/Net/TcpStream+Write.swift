// SPDX-License-Identifier: Apache-2.0
// Writing to a TCP connection. Writes are whole: those of several tasks go out one after the other, in the order in
// which they were asked for, and are never interleaved.

import CCulvert

extension TcpStream {
  /// Writes all of `bytes`; returns when the kernel has taken them.
  ///
  /// Throws `.brokenPipe` or `.connectionReset` when the peer is gone, `.closed`, `.cancelled`, `.shutDown`; the
  /// error's `bytesWritten` says how many went out before. A write that is cancelled in the middle leaves the peer
  /// with a part of it. `send(2)`; never raises SIGPIPE.
  public func write(_ bytes: RawSpan) async throws(IoError) {
    try await takeWriteTurn()
    defer { writeTurn.give() }
    try await send(bytes.byteCount) { (fd, sent) throws(IoError) in
      try unsafe bytes.withUnsafeBytes { (all) throws(IoError) in
        let rest = unsafe UnsafeRawBufferPointer(rebasing: all[sent...])
        return try unsafe Socket.send(fd, rest, during: "write to \(self)")
      }
    }
  }

  /// Writes all of `bytes`. Otherwise as `write(_:)` for a `RawSpan`.
  public func write(_ bytes: Span<UInt8>) async throws(IoError) { try await write(unsafe bytes.bytes) }

  /// Writes all of `bytes`. Otherwise as `write(_:)` for a `RawSpan`.
  public func write(_ bytes: [UInt8]) async throws(IoError) { try await write(unsafe bytes.span.bytes) }

  /// Writes all of `bytes`. Otherwise as `write(_:)` for a `RawSpan`.
  public func write(_ bytes: ArraySlice<UInt8>) async throws(IoError) {
    try await write(unsafe bytes.span.bytes)
  }

  /// Writes `text` in UTF-8; allocates a copy of it. Otherwise as `write(_:)` for a `RawSpan`.
  public func write(_ text: String) async throws(IoError) { try await write(Array(text.utf8)) }

  /// Writes all of `pieces`, one after the other, in as few system calls as may be.
  ///
  /// Otherwise as `write(_:)` for a `RawSpan`. `sendmsg(2)`, up to 64 pieces at a time.
  public func write(vectored pieces: [[UInt8]]) async throws(IoError) {
    try await takeWriteTurn()
    defer { writeTurn.give() }
    var rest = PiecesToSend(pieces)
    try await send(pieces.reduce(0) { $0 + $1.count }) { (fd, _) throws(IoError) in
      try rest.sendSome(to: fd, during: "write to \(self)")
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
    let count = try use("write to") { (fd) throws(IoError) in
      try unsafe bytes.withUnsafeBufferPointer { (bytes) throws(IoError) in
        try unsafe Socket.send(fd, UnsafeRawBufferPointer(bytes), during: "write to \(self)")
      }
    }
    if count == nil { bridge.clearReadiness(.writable) }
    return count
  }

  /// Returns when a write would not block: there is room in the send buffer, or an error to be had.
  ///
  /// Throws `.closed`, `.cancelled`, `.shutDown`. `epoll_wait(2)`, `kevent(2)`.
  public func writable() async throws(IoError) { _ = try await bridge.ready(for: .writable, of: "\(self)") }

  /// Sends until `total` bytes have gone out; `some` sends from an offset on and says how many the kernel took.
  @inline(__always)
  private func send(
    _ total: Int, _ some: (_ fd: Int32, _ sent: Int) throws(IoError) -> Int?
  ) async throws(IoError) {
    if total == 0 { return try use("write to") { _ in } }
    var sent = 0
    do throws(IoError) {
      while sent < total {
        let count = try await bridge.call(.writable, during: "write to \(self)") { (fd) throws(IoError) in
          try some(fd, sent)
        }
        sent += count
        // The buffer is full: wait at once, without a try.
        if sent < total { bridge.clearReadiness(.writable) }
      }
    } catch {
      var error = error
      error.bytesWritten = sent
      throw error
    }
  }

  @inline(__always)
  private func takeWriteTurn() async throws(IoError) {
    if !writeTurn.tryTake() { try await waitForWriteTurn() }
  }

  private func waitForWriteTurn() async throws(IoError) {
    switch await writeTurn.wait(for: ()) {
    case .cancelled: throw IoError(.cancelled, during: "write to \(self)")
    case .closed: throw IoError(.closed, during: "write to \(self)")
    default: break
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
