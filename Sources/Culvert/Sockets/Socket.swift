// SPDX-License-Identifier: Apache-2.0
// What can be done with a socket without waiting. Each call either does it, answers `nil` ("it would block"), or
// throws with what was being done to what. Knows nothing of loops, tasks or readiness.

import CCulvert

enum Socket {
  /// A non-blocking, close-on-exec stream socket. `socket(2)`.
  static func stream(for family: SocketAddress.Family, during operation: String) throws(IoError) -> Int32 {
    let type = culvert_sock_stream()
    return Int32(try Syscalls.socket(family: family.value, type: type).value(during: operation))
  }

  /// A non-blocking, close-on-exec datagram socket. `socket(2)`.
  static func datagram(for family: SocketAddress.Family, during operation: String) throws(IoError) -> Int32 {
    let type = culvert_sock_dgram()
    return Int32(try Syscalls.socket(family: family.value, type: type).value(during: operation))
  }

  /// The socket's address family, such as `AF_INET6`; -1 for what is no socket.
  static func family(_ fd: Int32) -> Int32 {
    let (result, address) = unsafe name { unsafe Syscalls.localName(fd, $0, $1) }
    return result.failed ? -1 : address?.family.value ?? -1
  }

  /// Has `close(2)` send a reset. `SO_LINGER` with no time.
  static func resetOnClose(_ fd: Int32, during operation: @autoclosure () -> String) throws(IoError) {
    let bytes = unsafe withUnsafeBytes(of: linger(l_onoff: 1, l_linger: 0)) { unsafe Array($0) }
    _ = try Syscalls.setOption(fd, level: SOL_SOCKET, name: SO_LINGER, to: bytes).value(during: operation())
  }

  /// Two connected Unix sockets, for streams unless told otherwise. `socketpair(2)`.
  static func pair(
    type: Int32 = culvert_sock_stream(), during operation: String
  ) throws(IoError) -> (Int32, Int32) {
    var ends: (Int32, Int32) = (-1, -1)
    _ = try Syscalls.socketPair(type: type, &ends).value(during: operation)
    return ends
  }

  /// Both ends' addresses, as far as there are any: for reports.
  static func ends(_ fd: Int32) -> (local: SocketAddress?, peer: SocketAddress?) {
    let (localResult, local) = unsafe name { unsafe Syscalls.localName(fd, $0, $1) }
    let (peerResult, peer) = unsafe name { unsafe Syscalls.peerName(fd, $0, $1) }
    return (localResult.failed ? nil : local, peerResult.failed ? nil : peer)
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
  static func name(
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
