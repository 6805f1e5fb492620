// SPDX-License-Identifier: Apache-2.0
// One function per system call, one place that reads errno, one loop on EINTR.
//
// - A result is the call's value, or minus the error number: nothing is thrown here and nothing allocated.
// - EINTR is tried again, except by close(2) (the number is gone, whatever it says) and connect(2) (the attempt
//   goes on in the kernel, a second call would fail with EALREADY).
// - Every descriptor made here is non-blocking and close-on-exec from its first moment.

import CCulvert

/// What a system call answered: a value, or an error number.
struct SysResult {
  /// The value when it is not negative, else minus the error number.
  let raw: Int

  var failed: Bool { raw < 0 }
  var errno: Int32 { raw < 0 ? Int32(truncatingIfNeeded: -raw) : 0 }
  /// EAGAIN, which is EWOULDBLOCK on every platform we know.
  var wouldBlock: Bool { raw == -Int(EAGAIN) }

  /// The value, or the error with what was being done.
  @inline(__always)
  func value(during operation: @autoclosure () -> String) throws(IoError) -> Int {
    if raw >= 0 { return raw }
    throw IoError(errno: errno, during: operation())
  }

  /// The value, `nil` for "would block", or the error with what was being done.
  @inline(__always)
  func valueUnlessBlocked(during operation: @autoclosure () -> String) throws(IoError) -> Int? {
    if raw >= 0 { return raw }
    if wouldBlock { return nil }
    throw IoError(errno: errno, during: operation())
  }
}

enum Syscalls {
  @inline(__always)
  private static func once(_ name: SystemCall, _ call: () -> Int) -> SysResult {
    #if FaultInjection
      if let forced = Faults.forced(name, { made(call) }) { return forced }
    #endif
    return made(call)
  }

  @inline(__always)
  private static func made(_ call: () -> Int) -> SysResult {
    let result = call()
    return SysResult(raw: result >= 0 ? result : -Int(culvert_errno()))
  }

  @inline(__always)
  static func retryingInterrupts(_ name: SystemCall, _ call: () -> Int) -> SysResult {
    while true {
      let result = once(name, call)
      if result.raw != -Int(EINTR) { return result }
    }
  }

  /// How much of a buffer a transfer may use: all of it, unless a test makes transfers short.
  @inline(__always)
  private static func room(_ name: SystemCall, _ count: Int) -> Int {
    #if FaultInjection
      return Faults.room(name, count)
    #else
      return count
    #endif
  }

  // MARK: any descriptor

  static func close(_ fd: Int32) {
    _ = once(.close) { Int(CCulvert.close(fd)) }
  }

  static func read(_ fd: Int32, into buffer: UnsafeMutableRawBufferPointer) -> SysResult {
    retryingInterrupts(.read) { unsafe CCulvert.read(fd, buffer.baseAddress, room(.read, buffer.count)) }
  }

  /// Raises no SIGPIPE. Three system calls more than a socket's `send`.
  static func write(_ fd: Int32, _ buffer: UnsafeRawBufferPointer) -> SysResult {
    retryingInterrupts(.write) {
      unsafe culvert_write_silently(fd, buffer.baseAddress, room(.write, buffer.count))
    }
  }

  /// Two ends of a pipe.
  static func pipe(_ ends: inout (reader: Int32, writer: Int32)) -> SysResult {
    var fds: [Int32] = [-1, -1]
    let result = retryingInterrupts(.pipe) { unsafe Int(culvert_pipe(&fds)) }
    ends = (fds[0], fds[1])
    return result
  }

  static func setNonblocking(_ fd: Int32, _ on: Bool) -> SysResult {
    retryingInterrupts(.fcntl) { Int(culvert_set_nonblocking(fd, on)) }
  }

  /// What a socket needs that was not made here, beside its non-blocking mode: close-on-exec, no SIGPIPE.
  static func prepareSocket(_ fd: Int32) -> SysResult {
    retryingInterrupts(.fcntl) { Int(culvert_prepare_socket(fd)) }
  }

  /// Close-on-exec.
  static func setCloseOnExec(_ fd: Int32) -> SysResult {
    retryingInterrupts(.fcntl) { Int(culvert_set_cloexec(fd)) }
  }

  static func duplicate(_ fd: Int32) -> SysResult {
    retryingInterrupts(.fcntl) { Int(culvert_dup_cloexec(fd)) }
  }

  static func openForReading(_ path: String, nonblocking: Bool) -> SysResult {
    retryingInterrupts(.open) { unsafe path.withCString { unsafe Int(culvert_open_read($0, nonblocking)) } }
  }

  /// "Hung up" has no bit among the things that can be waited for.
  static let hangUp: UInt8 = 16

  /// Which of `wanted` (1 readable, 2 writable, 4 peer finished, 8 priority data, 16 hung up) hold now; a hang-up
  /// is all of them, and an error condition all but that.
  static func pollNow(_ fd: Int32, for wanted: UInt8) -> SysResult {
    retryingInterrupts(.poll) { Int(culvert_poll_now(fd, Int32(wanted))) }
  }

  /// What kind of thing the descriptor is: the file type bits of `st_mode`.
  static func fileType(_ fd: Int32) -> SysResult {
    retryingInterrupts(.fstat) { Int(culvert_file_type(fd)) }
  }

  // MARK: sockets

  static func socket(family: Int32, type: Int32) -> SysResult {
    retryingInterrupts(.socket) { Int(culvert_socket(family, type)) }
  }

  /// Two connected Unix sockets.
  static func socketPair(type: Int32, _ ends: inout (Int32, Int32)) -> SysResult {
    var fds: [Int32] = [-1, -1]
    let result = retryingInterrupts(.socket) { unsafe Int(culvert_socket_pair(type, &fds)) }
    ends = (fds[0], fds[1])
    return result
  }

  static func bind(_ fd: Int32, _ address: UnsafePointer<sockaddr>, _ length: socklen_t) -> SysResult {
    retryingInterrupts(.bind) { unsafe Int(CCulvert.bind(fd, address, length)) }
  }

  static func listen(_ fd: Int32, backlog: Int32) -> SysResult {
    retryingInterrupts(.listen) { Int(CCulvert.listen(fd, backlog)) }
  }

  /// Not tried again on EINTR: the attempt goes on, and writability tells its end.
  static func connect(_ fd: Int32, _ address: UnsafePointer<sockaddr>, _ length: socklen_t) -> SysResult {
    once(.connect) { unsafe Int(CCulvert.connect(fd, address, length)) }
  }

  static func accept(
    _ fd: Int32, _ address: UnsafeMutablePointer<sockaddr>, _ length: UnsafeMutablePointer<socklen_t>
  ) -> SysResult {
    retryingInterrupts(.accept) { unsafe Int(culvert_accept(fd, address, length)) }
  }

  static func receive(_ fd: Int32, into buffer: UnsafeMutableRawBufferPointer, flags: Int32) -> SysResult {
    retryingInterrupts(.receive) { unsafe recv(fd, buffer.baseAddress, room(.receive, buffer.count), flags) }
  }

  static func send(_ fd: Int32, _ buffer: UnsafeRawBufferPointer) -> SysResult {
    retryingInterrupts(.send) {
      unsafe CCulvert.send(fd, buffer.baseAddress, room(.send, buffer.count), culvert_send_flags())
    }
  }

  static func sendMessage(_ fd: Int32, _ message: inout msghdr) -> SysResult {
    retryingInterrupts(.send) { unsafe sendmsg(fd, &message, culvert_send_flags()) }
  }

  static func shutdown(_ fd: Int32, _ how: Int32) -> SysResult {
    retryingInterrupts(.shutdown) { Int(CCulvert.shutdown(fd, how)) }
  }

  static func localName(
    _ fd: Int32, _ address: UnsafeMutablePointer<sockaddr>, _ length: UnsafeMutablePointer<socklen_t>
  ) -> SysResult {
    retryingInterrupts(.getsockname) { unsafe Int(getsockname(fd, address, length)) }
  }

  static func peerName(
    _ fd: Int32, _ address: UnsafeMutablePointer<sockaddr>, _ length: UnsafeMutablePointer<socklen_t>
  ) -> SysResult {
    retryingInterrupts(.getpeername) { unsafe Int(getpeername(fd, address, length)) }
  }

  /// Returns how many bytes of `value` were filled.
  static func getOption(_ fd: Int32, level: Int32, name: Int32, into value: inout [UInt8]) -> SysResult {
    var length = socklen_t(value.count)
    let result = retryingInterrupts(.getsockopt) { unsafe Int(getsockopt(fd, level, name, &value, &length)) }
    return result.failed ? result : SysResult(raw: Int(length))
  }

  static func setOption(_ fd: Int32, level: Int32, name: Int32, to value: [UInt8]) -> SysResult {
    retryingInterrupts(.setsockopt) {
      unsafe Int(setsockopt(fd, level, name, value, socklen_t(value.count)))
    }
  }

  static func tcpInfo(_ fd: Int32, _ info: inout culvert_tcp_info) -> SysResult {
    retryingInterrupts(.getsockopt) { unsafe Int(culvert_get_tcp_info(fd, &info)) }
  }

  /// Takes the socket's pending error off it; 0 when there is none, or when this is no socket.
  static func takePendingError(_ fd: Int32) -> Int32 {
    var pending: Int32 = 0
    var length = socklen_t(MemoryLayout<Int32>.size)
    let result = retryingInterrupts(.getsockopt) {
      unsafe Int(getsockopt(fd, SOL_SOCKET, SO_ERROR, &pending, &length))
    }
    return result.failed ? 0 : pending
  }

  /// Empties the socket's error queue, which keeps an error condition up while it holds anything.
  static func drainErrorQueue(_ fd: Int32) {
    _ = culvert_drain_error_queue(fd)
  }

  // MARK: Unix sockets; paths are bytes without a NUL

  /// What is at a path, symbolic links not followed.
  static func file(at path: [UInt8], _ file: inout culvert_file) -> SysResult {
    retryingInterrupts(.lstat) { unsafe Int(culvert_file_at(path + [0], &file)) }
  }

  static func unlink(_ path: [UInt8]) -> SysResult {
    retryingInterrupts(.unlink) { unsafe Int(culvert_unlink(path + [0])) }
  }

  static func setMode(_ path: [UInt8], _ mode: UInt32) -> SysResult {
    retryingInterrupts(.chmod) { unsafe Int(culvert_chmod(path + [0], mode)) }
  }

  static func peerCredentials(_ fd: Int32, _ credentials: inout culvert_credentials) -> SysResult {
    retryingInterrupts(.getsockopt) { unsafe Int(culvert_peer_credentials(fd, &credentials)) }
  }

  /// As `send`; the descriptors go out with the first byte.
  static func send(_ fd: Int32, _ buffer: UnsafeRawBufferPointer, descriptors: [Int32]) -> SysResult {
    retryingInterrupts(.send) {
      let count = room(.send, buffer.count)
      return unsafe culvert_send_descriptors(
        fd, buffer.baseAddress, count, descriptors, Int32(descriptors.count))
    }
  }

  /// As `receive`; what is in `received` is the caller's to close, whatever the result.
  static func receive(
    _ fd: Int32, into buffer: UnsafeMutableRawBufferPointer, _ received: inout culvert_descriptors
  ) -> SysResult {
    retryingInterrupts(.receive) {
      let count = room(.receive, buffer.count)
      return unsafe culvert_receive_descriptors(fd, buffer.baseAddress, count, &received)
    }
  }
}
