// SPDX-License-Identifier: Apache-2.0
// What only Unix sockets do: descriptors and credentials that go from process to process.
//
// Some facts about passing descriptors (SCM_RIGHTS, Linux)
// - They travel with the first byte of their message, and are in the receiver's table as soon as recvmsg(2) has returned.
//   No call returns bytes from both sides of a message with descriptors: it ends with the bytes that they came with.
// - recv(2) drops them. Where the receiver has no number left, those that fit come, with MSG_CTRUNC; the rest are closed.
// - A message carries 253 at most (EINVAL). A user may have RLIMIT_NOFILE of them on the way (ETOOMANYREFS).
// - Credentials are those of the moment of connect(2), listen(2) or socketpair(2), whoever has the socket now.

import CCulvert

extension Socket {
  /// Sends some of `buffer`; the descriptors go out with the first byte. `sendmsg(2)`.
  static func send(
    _ fd: Int32, _ buffer: UnsafeRawBufferPointer, descriptors: [Int32],
    during operation: @autoclosure () -> String
  ) throws(IoError) -> Int? {
    try unsafe Syscalls.send(fd, buffer, descriptors: descriptors).valueUnlessBlocked(during: operation())
  }

  /// Receives bytes and the descriptors that come with them; all of these, or, when it throws, none. `recvmsg(2)`.
  static func receive(
    _ fd: Int32, into buffer: UnsafeMutableRawBufferPointer, atMost most: Int,
    during operation: @autoclosure () -> String
  ) throws(IoError) -> (count: Int, descriptors: [Int32])? {
    var received = culvert_descriptors()
    let result = unsafe Syscalls.receive(fd, into: buffer, &received)
    let all = unsafe withUnsafeBytes(of: received.fds) { unsafe Array($0.bindMemory(to: Int32.self)) }
    let descriptors = Array(all.prefix(Int(received.count)))
    do throws(IoError) {
      guard let count = try result.valueUnlessBlocked(during: operation()) else { return nil }
      if received.truncated {
        throw IoError(.tooManyDescriptors, during: operation() + ": not all descriptors could be taken")
      }
      if descriptors.count > most {
        throw IoError(.limitReached, during: operation() + ": \(descriptors.count) descriptors, not \(most)")
      }
      return (count, descriptors)
    } catch {
      for descriptor in descriptors { Descriptor(adopting: descriptor).close() }
      throw error
    }
  }

  static func peerCredentials(
    _ fd: Int32, during operation: @autoclosure () -> String
  ) throws(IoError) -> culvert_credentials {
    var credentials = culvert_credentials()
    _ = try Syscalls.peerCredentials(fd, &credentials).value(during: operation())
    return credentials
  }
}
