// SPDX-License-Identifier: Apache-2.0
// The system calls of datagrams.
//
// - A datagram is taken or sent whole, so no fault makes these short.
// - recvmmsg(2) that fails after the first datagram returns what it has; the error is told by the next call.
// - sendmmsg(2) likewise, except that an error of the next datagram is not kept: sending it again tells.

import CCulvert

extension Syscalls {
  static func receiveDatagram(
    _ fd: Int32, into buffer: UnsafeMutableRawBufferPointer, flags: Int32, control: Bool,
    _ arrival: inout culvert_arrival
  ) -> SysResult {
    retryingInterrupts(.receive) {
      unsafe Int(
        culvert_receive_datagram(fd, buffer.baseAddress, buffer.count, flags, control, &arrival))
    }
  }

  /// To the peer, when `length` is 0.
  static func sendDatagram(
    _ fd: Int32, _ buffer: UnsafeRawBufferPointer, to address: UnsafePointer<sockaddr>?, _ length: socklen_t
  ) -> SysResult {
    retryingInterrupts(.send) {
      unsafe sendto(fd, buffer.baseAddress, buffer.count, culvert_send_flags(), address, length)
    }
  }

  static func sendSegments(
    _ fd: Int32, _ buffer: UnsafeRawBufferPointer, of size: Int, to address: UnsafePointer<sockaddr>?,
    _ length: socklen_t
  ) -> SysResult {
    retryingInterrupts(.send) {
      unsafe culvert_send_segments(fd, buffer.baseAddress, buffer.count, size, address, length)
    }
  }

  static func receiveBatch(_ fd: Int32, _ batch: OpaquePointer, control: Bool) -> SysResult {
    retryingInterrupts(.receiveBatch) { unsafe Int(culvert_batch_receive(fd, batch, control)) }
  }

  static func sendBatch(_ fd: Int32, _ batch: OpaquePointer, _ entries: Range<Int>) -> SysResult {
    retryingInterrupts(.sendBatch) {
      unsafe Int(culvert_batch_send(fd, batch, entries.lowerBound, entries.count))
    }
  }

  static func disconnect(_ fd: Int32) -> SysResult {
    retryingInterrupts(.connect) { Int(culvert_disconnect(fd)) }
  }

  static func reportArrival(_ fd: Int32, family: Int32, _ on: Bool) -> SysResult {
    retryingInterrupts(.setsockopt) { Int(culvert_report_arrival(fd, family, on)) }
  }

  static func joinSegments(_ fd: Int32, _ on: Bool) -> SysResult {
    retryingInterrupts(.setsockopt) { Int(culvert_join_segments(fd, on)) }
  }

  static func drops(_ fd: Int32) -> SysResult {
    retryingInterrupts(.getsockopt) { Int(culvert_drops(fd)) }
  }

  /// Of any source when `source` is null.
  static func membership(
    _ fd: Int32, join: Bool, _ group: UnsafePointer<sockaddr>, _ length: socklen_t,
    _ source: UnsafePointer<sockaddr>?, _ sourceLength: socklen_t, interface: UInt32
  ) -> SysResult {
    retryingInterrupts(.setsockopt) {
      unsafe Int(culvert_membership(fd, join, group, length, source, sourceLength, interface))
    }
  }

  static func multicastInterface(_ fd: Int32, family: Int32, _ interface: UInt32) -> SysResult {
    retryingInterrupts(.setsockopt) { Int(culvert_multicast_interface(fd, family, interface)) }
  }

  /// Whether an error condition holds on the descriptor.
  static func hasError(_ fd: Int32) -> Bool {
    retryingInterrupts(.poll) { Int(culvert_has_error(fd)) }.raw == 1
  }
}
