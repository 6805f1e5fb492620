// SPDX-License-Identifier: Apache-2.0
// Receiving datagrams. Other than with a stream, room that was left says nothing of what comes next: only a would-block
// forgets the readiness.

import CCulvert
import Synchronization

extension DatagramSocket {
  /// Appends the next datagram to `buffer`, once there is one; what does not fit is lost, which `isTruncated` tells.
  ///
  /// An error that came back for something sent before, such as `.connectionRefused`, is thrown once, and the socket can be
  /// used as before. Throws `.closed`, `.cancelled`, `.shutDown`; no datagram is lost by cancellation. `recvfrom(2)`, or
  /// `recvmsg(2)` where more was asked for.
  public final func receive(into buffer: inout OutputRawSpan) async throws(IoError) -> Datagram {
    try await call(.readable, during: "receive on \(self)") { (fd) throws(IoError) in
      try unsafe buffer.withUnsafeMutableBytes { (bytes, used) throws(IoError) -> Datagram? in
        let free = unsafe UnsafeMutableRawBufferPointer(rebasing: bytes[used...])
        let datagram = try unsafe self.receive(fd, free)
        used += datagram?.count ?? 0
        return datagram
      }
    }
  }

  /// Writes the next datagram over the beginning of `buffer`. Otherwise as `receive(into:)` for an `OutputRawSpan`.
  public final func receive(into buffer: inout MutableRawSpan) async throws(IoError) -> Datagram {
    try await call(.readable, during: "receive on \(self)") { (fd) throws(IoError) in
      try unsafe buffer.withUnsafeMutableBytes { (bytes) throws(IoError) in try unsafe self.receive(fd, bytes)
      }
    }
  }

  /// Writes the next datagram over the first elements of `buffer`, which keeps its length; allocates nothing.
  ///
  /// ```swift
  /// var buffer = [UInt8](repeating: 0, count: 2048)
  /// while true {
  ///   let datagram = try await socket.receive(into: &buffer)
  ///   try await socket.send(buffer[..<datagram.count], to: datagram.sender)
  /// }
  /// ```
  /// Otherwise as `receive(into:)` for an `OutputRawSpan`.
  @inlinable
  public final func receive(into buffer: inout [UInt8]) async throws(IoError) -> Datagram {
    if let datagram = try receiveAtOnce(into: &buffer) { return datagram }
    return try await receiveLater(into: &buffer)
  }

  /// What is there already, no wait being due: that is no async function, and the one above is inlined where it is called, so that
  /// it costs no frame of a task.
  @usableFromInline
  final func receiveAtOnce(into buffer: inout [UInt8]) throws(IoError) -> Datagram? {
    try callAtOnce(.readable, during: receiving) { (fd) throws(IoError) in
      try self.receive(fd, &buffer)
    }
  }

  @usableFromInline
  final func receiveLater(into buffer: inout [UInt8]) async throws(IoError) -> Datagram {
    try await call(.readable, during: receiving) { (fd) throws(IoError) in
      try self.receive(fd, &buffer)
    }
  }

  /// Receives the next datagram, of which it keeps at most `limit` bytes; `datagram` says from whom it is, and whether it
  /// was cut.
  ///
  /// Allocates the array it returns. Otherwise as `receive(into:)` for an `OutputRawSpan`.
  public final func receive(
    upTo limit: Int
  ) async throws(IoError) -> (bytes: [UInt8], datagram: Datagram) {
    var bytes = [UInt8](repeating: 0, count: max(limit, 0))
    let datagram = try await receive(into: &bytes)
    bytes.removeLast(bytes.count - datagram.count)
    return (bytes, datagram)
  }

  /// As `receive(into:)`, but the datagram stays where it is. `recvfrom(2)` with `MSG_PEEK`.
  public final func peek(into buffer: inout [UInt8]) async throws(IoError) -> Datagram {
    try await call(.readable, during: "peek at \(self)") { (fd) throws(IoError) in
      try self.receive(fd, &buffer, flags: culvert_msg_peek())
    }
  }

  /// As `receive(into:)`, but returns `nil` where that would wait.
  public final func tryReceive(into buffer: inout [UInt8]) throws(IoError) -> Datagram? {
    let datagram = try use("receive on") { (fd) throws(IoError) in try self.receive(fd, &buffer) }
    if datagram == nil { clearReadiness(.readable) }
    return datagram
  }

  /// Returns when `receive` would not block: there is a datagram, or an error to be had.
  ///
  /// Throws `.closed`, `.cancelled`, `.shutDown`. `epoll_wait(2)`, `kevent(2)`.
  public final func readable() async throws(IoError) {
    _ = try await ready(for: .readable)
  }

  /// Has each datagram tell where it was sent to, by which interface it came, and its traffic class with ECN.
  ///
  /// Costs a longer system call. For IP. Throws `.closed`. `setsockopt(2)` with `IP_PKTINFO`, `IP_RECVTOS`,
  /// `IPV6_RECVPKTINFO`, `IPV6_RECVTCLASS`.
  public final func reportArrival(_ on: Bool) throws(IoError) {
    try use("report arrivals on") { (fd) throws(IoError) in
      _ = try Syscalls.reportArrival(fd, family: Socket.family(fd), on)
        .value(during: "report arrivals on \(self)")
    }
    if on { wantsControl.store(true, ordering: .relaxed) }
  }

  /// Lets the kernel join datagrams of one sender and one size into one buffer, which `segmentSize` tells; false where it
  /// can't (the API is the same there, and each datagram comes alone).
  ///
  /// Give it buffers of 65,535 bytes. Throws `.closed`. `setsockopt(2)` with `UDP_GRO`.
  @discardableResult
  public final func joinSegments(_ on: Bool) throws(IoError) -> Bool {
    let result = try use("join segments on") { (fd) throws(IoError) in Syscalls.joinSegments(fd, on) }
    let refusals = [ENOTSUP, EOPNOTSUPP, ENOPROTOOPT]
    if refusals.contains(result.errno) { return false }
    _ = try result.value(during: "join segments on \(self)")
    if on { wantsControl.store(true, ordering: .relaxed) }
    return true
  }

  @inline(never) private final var receiving: String { "receive on \(self)" }

  @inline(__always)
  private func receive(
    _ fd: Int32, _ bytes: UnsafeMutableRawBufferPointer, flags: Int32 = 0
  ) throws(IoError) -> Datagram? {
    let control = wantsControl.load(ordering: .relaxed)
    return try unsafe Socket.receiveDatagram(
      fd, into: bytes, flags: flags, control: control, during: "receive on \(self)")
  }

  @inline(__always)
  private func receive(
    _ fd: Int32, _ buffer: inout [UInt8], flags: Int32 = 0
  ) throws(IoError) -> Datagram? {
    try unsafe buffer.withUnsafeMutableBufferPointer { (bytes) throws(IoError) in
      try unsafe self.receive(fd, UnsafeMutableRawBufferPointer(bytes), flags: flags)
    }
  }
}
