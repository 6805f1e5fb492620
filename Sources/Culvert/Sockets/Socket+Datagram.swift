// SPDX-License-Identifier: Apache-2.0
// What can be done with a datagram socket without waiting.
//
// - connect(2) sends nothing: it filters what arrives, and has the kernel tell of errors that come back.
// - connect(2) to nobody takes the port too, if the system had chosen it (Linux).

import CCulvert

extension Socket {
  @inline(__always)
  static func receiveDatagram(
    _ fd: Int32, into buffer: UnsafeMutableRawBufferPointer, flags: Int32, control: Bool,
    during operation: @autoclosure () -> String
  ) throws(IoError) -> Datagram? {
    // Filled in by the call; zeroing it would cost as much as the rest.
    try unsafe withUnsafeTemporaryAllocation(of: culvert_arrival.self, capacity: 1) {
      (room) throws(IoError) -> Datagram? in
      guard let arrival = room.baseAddress else { return nil }
      let result = unsafe Syscalls.receiveDatagram(
        fd, into: buffer, flags: flags, control: control, &arrival.pointee)
      guard try result.valueUnlessBlocked(during: operation()) != nil else { return nil }
      return unsafe Datagram(arrival)
    }
  }

  /// Sends all of it to `address`, or to the peer; `nil` when that would block.
  @inline(__always)
  static func sendDatagram(
    _ fd: Int32, _ buffer: UnsafeRawBufferPointer, to address: SocketAddress?,
    during operation: @autoclosure () -> String
  ) throws(IoError) -> Int? {
    let result = try unsafe withSockaddr(address) { (raw, length) throws(IoError) in
      unsafe Syscalls.sendDatagram(fd, buffer, to: raw, length)
    }
    return try result.valueUnlessBlocked(during: operation())
  }

  /// Sends datagrams of `size` bytes in one call; `nil` when that would block.
  static func sendSegments(
    _ fd: Int32, _ buffer: UnsafeRawBufferPointer, of size: Int, to address: SocketAddress?,
    during operation: @autoclosure () -> String
  ) throws(IoError) -> Int? {
    let result = try unsafe withSockaddr(address) { (raw, length) throws(IoError) in
      unsafe Syscalls.sendSegments(fd, buffer, of: size, to: raw, length)
    }
    return try result.valueUnlessBlocked(during: operation())
  }

  /// Connects a datagram socket, which does not wait; to nobody for `nil`.
  static func connectDatagram(
    _ fd: Int32, to address: SocketAddress?, during operation: @autoclosure () -> String
  ) throws(IoError) {
    let result = try unsafe withSockaddr(address) { (raw, length) throws(IoError) in
      guard let raw = unsafe raw else { return Syscalls.disconnect(fd) }
      return unsafe Syscalls.connect(fd, raw, length)
    }
    // Nothing goes on in the background: a signal that came meanwhile means nothing.
    if result.errno != EINTR { _ = try result.value(during: operation()) }
  }

  static func setMembership(
    _ fd: Int32, join: Bool, _ group: SocketAddress, source: SocketAddress?, interface: UInt32,
    during operation: @autoclosure () -> String
  ) throws(IoError) {
    let result = try unsafe group.withSockaddr { (raw, length) throws(IoError) in
      try unsafe withSockaddr(source) { (source, sourceLength) throws(IoError) in
        unsafe Syscalls.membership(
          fd, join: join, raw, length, source, sourceLength, interface: interface)
      }
    }
    _ = try result.value(during: operation())
  }

  @inline(__always)
  private static func withSockaddr<R>(
    _ address: SocketAddress?, _ body: (UnsafePointer<sockaddr>?, socklen_t) throws(IoError) -> R
  ) throws(IoError) -> R {
    guard let address else { return try body(nil, 0) }
    return try unsafe address.withSockaddr { (raw, length) throws(IoError) in try unsafe body(raw, length) }
  }
}
