// SPDX-License-Identifier: Apache-2.0
// What can be done with a socket without waiting. Each call either does it, answers `nil` ("it would block"), or
// throws with what was being done to what. Knows nothing of loops, tasks or readiness.

import CCulvert

enum Socket {
  /// A non-blocking, close-on-exec stream socket of the address's family. `socket(2)`.
  static func stream(for address: SocketAddress, during operation: String) throws(IoError) -> Int32 {
    let type = culvert_sock_stream()
    return Int32(try Syscalls.socket(family: address.familyValue, type: type).value(during: operation))
  }

  static func bind(_ fd: Int32, to address: SocketAddress, during operation: String) throws(IoError) {
    let result = try unsafe address.withSockaddr { (raw, length) throws(IoError) in
      unsafe Syscalls.bind(fd, raw, length)
    }
    _ = try result.value(during: operation)
  }

  static func listen(_ fd: Int32, backlog: Int32, during operation: String) throws(IoError) {
    _ = try Syscalls.listen(fd, backlog: backlog).value(during: operation)
  }

  /// Begins to connect; false when that goes on in the kernel, and writability tells its end.
  ///
  /// EINTR too means that it goes on. EAGAIN does not: a Unix listener's backlog is full.
  static func connect(_ fd: Int32, to address: SocketAddress, during operation: String) throws(IoError)
    -> Bool
  {
    let result = try unsafe address.withSockaddr { (raw, length) throws(IoError) in
      unsafe Syscalls.connect(fd, raw, length)
    }
    if result.errno == EINPROGRESS || result.errno == EINTR { return false }
    _ = try result.value(during: operation)
    return true
  }

  /// Whether a connection begun is there; `nil` while it is not decided. Throws why it failed.
  ///
  /// No pending error is not enough: readiness may have been reported by mistake, so the peer's name decides.
  static func isConnected(_ fd: Int32, during operation: @autoclosure () -> String) throws(IoError) -> Bool? {
    let pending = Syscalls.takePendingError(fd)
    if pending != 0 { throw IoError(errno: pending, during: operation()) }
    let (result, _) = unsafe name { unsafe Syscalls.peerName(fd, $0, $1) }
    return result.errno == ENOTCONN ? nil : true
  }

  static func accept(
    _ fd: Int32, during operation: @autoclosure () -> String
  ) throws(IoError) -> (fd: Int32, peer: SocketAddress)? {
    let (result, peer) = unsafe name { unsafe Syscalls.accept(fd, $0, $1) }
    guard let new = try result.valueUnlessBlocked(during: operation()) else { return nil }
    return (Int32(new), peer ?? .unnamed)
  }

  @inline(__always)
  static func receive(
    _ fd: Int32, into buffer: UnsafeMutableRawBufferPointer, flags: Int32 = 0,
    during operation: @autoclosure () -> String
  ) throws(IoError) -> Int? {
    try unsafe Syscalls.receive(fd, into: buffer, flags: flags).valueUnlessBlocked(during: operation())
  }

  @inline(__always)
  static func send(
    _ fd: Int32, _ buffer: UnsafeRawBufferPointer, during operation: @autoclosure () -> String
  ) throws(IoError) -> Int? {
    try unsafe Syscalls.send(fd, buffer).valueUnlessBlocked(during: operation())
  }

  /// Ends the sending side. A peer that is gone already is no error.
  static func finishSending(_ fd: Int32, during operation: @autoclosure () -> String) throws(IoError) {
    let result = Syscalls.shutdown(fd, Int32(SHUT_WR))
    if result.errno != ENOTCONN { _ = try result.value(during: operation()) }
  }

  static func localAddress(_ fd: Int32, during operation: @autoclosure () -> String) throws(IoError)
    -> SocketAddress
  {
    let (result, address) = unsafe name { unsafe Syscalls.localName(fd, $0, $1) }
    _ = try result.value(during: operation())
    return address ?? .unnamed
  }

  /// Makes a call that fills in an address.
  private static func name(
    _ call: (UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> SysResult
  ) -> (SysResult, SocketAddress?) {
    var result = SysResult(raw: 0)
    let (_, address) = unsafe SocketAddress.read { raw, length in
      result = unsafe call(raw, length)
      return result.failed ? -1 : 0
    }
    return (result, address)
  }
}
