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
  private static func retryingInterrupts(_ name: SystemCall, _ call: () -> Int) -> SysResult {
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

  static func setNonblocking(_ fd: Int32, _ on: Bool) -> SysResult {
    retryingInterrupts(.fcntl) { Int(culvert_set_nonblocking(fd, on)) }
  }

  static func duplicate(_ fd: Int32) -> SysResult {
    retryingInterrupts(.fcntl) { Int(culvert_dup_cloexec(fd)) }
  }

  static func openForReading(_ path: String, nonblocking: Bool) -> SysResult {
    retryingInterrupts(.open) { unsafe path.withCString { unsafe Int(culvert_open_read($0, nonblocking)) } }
  }

  /// Which of `wanted` (1 readable, 2 writable, 4 peer finished) hold now; an error condition is all of them.
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

  static func getOption(_ fd: Int32, level: Int32, name: Int32, into value: inout Int32) -> SysResult {
    var length = socklen_t(MemoryLayout<Int32>.size)
    return retryingInterrupts(.getsockopt) { unsafe Int(getsockopt(fd, level, name, &value, &length)) }
  }

  static func setOption(_ fd: Int32, level: Int32, name: Int32, to value: Int32) -> SysResult {
    var value = value
    let length = socklen_t(MemoryLayout<Int32>.size)
    return retryingInterrupts(.setsockopt) { unsafe Int(setsockopt(fd, level, name, &value, length)) }
  }

  /// Takes the socket's pending error off it; 0 when there is none, or when this is no socket.
  static func takePendingError(_ fd: Int32) -> Int32 {
    var pending: Int32 = 0
    let result = getOption(fd, level: SOL_SOCKET, name: SO_ERROR, into: &pending)
    return result.failed ? 0 : pending
  }

  /// Empties the socket's error queue, which keeps an error condition up while it holds anything.
  static func drainErrorQueue(_ fd: Int32) {
    _ = culvert_drain_error_queue(fd)
  }
}
