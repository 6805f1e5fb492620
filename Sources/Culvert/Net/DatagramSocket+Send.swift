// SPDX-License-Identifier: Apache-2.0
// Sending datagrams. Each goes out whole or not at all, so senders need not take turns.
//
// What the kernel takes is on its way, not there: that nobody has the port comes back later, if at all, as an error of
// the next call (`.connectionRefused`), once.

import CCulvert

extension DatagramSocket {
  /// Sends `bytes` as one datagram to `address`; to the peer, when that is left out and the socket is connected.
  ///
  /// At most 65,507 bytes over IPv4, 65,527 over IPv6, the send buffer less 32 over Unix. Waits while the send buffer is full;
  /// a Unix socket also while the receiver is, without a limit, and for one that it is not connected to with pauses of 5 to
  /// 160 ms, since there is no event for that. Throws `.messageTooLong`, `.notConnected` without an address,
  /// `.connectionRefused` or `.unreachable` for something sent before (once; the bytes did not go out, and can be sent
  /// again) or when the Unix socket is gone, `.permissionDenied` for a broadcast without the option, `.closed`,
  /// `.cancelled`, `.shutDown`. What is cancelled has not gone out. `sendto(2)`; never raises SIGPIPE.
  ///
  /// ```swift
  /// try await socket.send(Array("hello".utf8), to: SocketAddress("127.0.0.1:7000"))
  /// ```
  @inlinable
  public final func send(_ bytes: RawSpan, to address: SocketAddress? = nil) async throws(IoError) {
    if try !sendAtOnce(bytes, to: address) { try await sendLater(bytes, to: address) }
  }

  /// Sends if that needs no waiting, for which it is no async function; false when it has not.
  @usableFromInline
  final func sendAtOnce(_ bytes: RawSpan, to address: SocketAddress?) throws(IoError) -> Bool {
    // A full receiver is another matter there.
    if isUnix { return false }
    let sent = try callAtOnce(.writable, during: operation(address)) { (fd) throws(IoError) in
      try self.send(fd, bytes, to: address)
    }
    return sent != nil
  }

  @usableFromInline
  final func sendLater(_ bytes: RawSpan, to address: SocketAddress?) async throws(IoError) {
    _ = try await callToSend(during: operation(address)) { (fd) throws(IoError) in
      try self.send(fd, bytes, to: address)
    }
  }

  @inline(__always)
  private func send(_ fd: Int32, _ bytes: RawSpan, to address: SocketAddress?) throws(IoError) -> Int? {
    try unsafe bytes.withUnsafeBytes { (all) throws(IoError) in
      try unsafe Socket.sendDatagram(fd, all, to: address, during: self.operation(address))
    }
  }

  /// Sends `bytes` as one datagram. Otherwise as `send(_:to:)` for a `RawSpan`.
  @inlinable
  public final func send(_ bytes: Span<UInt8>, to address: SocketAddress? = nil) async throws(IoError) {
    try await send(unsafe bytes.bytes, to: address)
  }

  /// Sends `bytes` as one datagram. Otherwise as `send(_:to:)` for a `RawSpan`.
  @inlinable
  public final func send(_ bytes: [UInt8], to address: SocketAddress? = nil) async throws(IoError) {
    try await send(bytes[...], to: address)
  }

  /// Sends `bytes` as one datagram. Otherwise as `send(_:to:)` for a `RawSpan`.
  @inlinable
  public final func send(_ bytes: ArraySlice<UInt8>, to address: SocketAddress? = nil) async throws(IoError) {
    try await send(unsafe bytes.span.bytes, to: address)
  }

  /// As `send(_:to:)`, but returns false where that would wait.
  public final func trySend(_ bytes: [UInt8], to address: SocketAddress? = nil) throws(IoError) -> Bool {
    let count = try use("send on") { (fd) throws(IoError) in
      try unsafe bytes.withUnsafeBufferPointer { (bytes) throws(IoError) in
        try unsafe Socket.sendDatagram(
          fd, UnsafeRawBufferPointer(bytes), to: address, during: self.operation(address))
      }
    }
    if count == nil { clearReadiness(.writable) }
    return count != nil
  }

  /// Returns when `send` would not block: there is room in the send buffer, or an error to be had.
  ///
  /// A Unix socket is writable to whom it is not connected to even while that receiver is full. Throws `.closed`,
  /// `.cancelled`, `.shutDown`. `epoll_wait(2)`, `kevent(2)`.
  public final func writable() async throws(IoError) {
    _ = try await ready(for: .writable)
  }

  /// Sends `bytes` as datagrams of `size` bytes each, the last with what is left, in as few system calls as may
  /// be; no bytes are no datagram.
  ///
  /// Where the kernel can't cut them itself they are sent one by one. Otherwise as `send(_:to:)`; the error's
  /// `bytesWritten` says how many bytes went out before, and cancellation may come in between. `sendmsg(2)` with
  /// `UDP_SEGMENT`, up to 64 datagrams or 65,507 bytes at a time.
  ///
  /// ```swift
  /// try await socket.send(segments: file, of: 1200, to: peer)
  /// ```
  public final func send(
    segments bytes: RawSpan, of size: Int, to address: SocketAddress? = nil
  ) async throws(IoError) {
    if size < 1 { throw IoError(.invalidArgument, during: "\(operation(address)) segments of \(size) bytes") }
    // Larger ones can't be segments, and get their error as datagrams.
    var most = isUnix ? size : size * min(Self.mostSegments, Self.mostBytes / size)
    var sent = 0
    while sent < bytes.byteCount {
      do throws(IoError) {
        let next = min(bytes.byteCount - sent, max(most, size))
        sent += try await sendSome(bytes.extracting(sent..<sent + next), of: size, to: address)
      } catch {
        if most > size && Self.refusesSegments(error) {
          most = size
          continue
        }
        throw error.after(sent)
      }
    }
  }

  /// Sends `bytes` as datagrams of `size` bytes each. Otherwise as `send(segments:of:to:)` for a `RawSpan`.
  public final func send(
    segments bytes: [UInt8], of size: Int, to address: SocketAddress? = nil
  ) async throws(IoError) {
    let bytes = bytes[...]  // whose span every macOS has, as an array's has not
    try await send(segments: unsafe bytes.span.bytes, of: size, to: address)
  }

  private static var mostSegments: Int { 64 }
  private static var mostBytes: Int { 65_507 }

  /// The kernel or the interface can't, or a segment would have to be fragmented: which datagrams may be.
  static func refusesSegments(_ error: IoError) -> Bool {
    switch error.errno {
    case EINVAL, EIO, EMSGSIZE, ENOTSUP, EOPNOTSUPP, ENOPROTOOPT: true
    default: false
    }
  }

  private func sendSome(
    _ bytes: RawSpan, of size: Int, to address: SocketAddress?
  ) async throws(IoError) -> Int {
    try await callToSend(during: operation(address)) { (fd) throws(IoError) in
      try unsafe bytes.withUnsafeBytes { (all) throws(IoError) in
        if all.count <= size {
          return try unsafe Socket.sendDatagram(fd, all, to: address, during: self.operation(address))
        }
        return try unsafe Socket.sendSegments(fd, all, of: size, to: address, during: self.operation(address))
      }
    }
  }

  /// What all that sends goes through.
  @inline(__always)
  final func callToSend(
    during operation: @autoclosure () -> String, _ body: (Int32) throws(IoError) -> Int?
  ) async throws(IoError) -> Int {
    if isUnix { return try await callToSendUnix(during: operation(), body) }
    return try await call(.writable, during: operation(), body)
  }

  /// Waits for room by the loop's event where there is one, with pauses where there is not (UnixDatagram.swift).
  @inline(never)
  private func callToSendUnix(
    during operation: @autoclosure () -> String, _ body: (Int32) throws(IoError) -> Int?
  ) async throws(IoError) -> Int {
    var pause = Backoff()
    while true {
      let sent = try await call(.writable, during: operation()) { (fd) throws(IoError) -> Int? in
        if let sent = try body(fd) { return sent }
        let isWritable = try Syscalls.pollNow(fd, for: IoEventInterest.writable.rawValue)
          .value(during: operation())
        if isWritable == 0 { return nil }
        // There is room since, or the loop would say "writable" on and on for a receiver that is full.
        return try body(fd) ?? Self.receiverIsFull
      }
      if sent != Self.receiverIsFull { return sent }
      try await pause.wait(during: operation())
    }
  }

  private static var receiverIsFull: Int { -1 }

  @inline(never)
  func operation(_ address: SocketAddress?) -> String {
    address.map { "send to \($0) on \(self)" } ?? "send on \(self)"
  }
}
