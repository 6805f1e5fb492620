// SPDX-License-Identifier: Apache-2.0
// What kind of socket a descriptor is that somebody else made: asked before it is taken over.

import CCulvert

/// The kind of a socket, as far as this library knows it.
enum SocketKind: String {
  case tcp = "a TCP socket"
  case tcpListener = "a TCP socket that listens"
  case udp = "a UDP socket"
  case unixStream = "a Unix stream socket"
  case unixListener = "a Unix stream socket that listens"
  case unixDatagram = "a Unix datagram socket"
  case other = "another kind of socket"

  /// Asks the kernel. Throws `.badDescriptor`, and `.unsupported` for what is no socket. `getsockopt(2)`,
  /// `getsockname(2)`.
  static func of(_ fd: Int32, during operation: String) throws(IoError) -> SocketKind {
    let type = try Socket.number(fd, SO_TYPE, during: operation)
    let family = Socket.family(fd)
    let isUnix = family == AF_UNIX
    guard isUnix || family == AF_INET || family == AF_INET6 else { return .other }
    if type == culvert_sock_dgram() { return isUnix ? .unixDatagram : .udp }
    guard type == culvert_sock_stream() else { return .other }
    if try Socket.number(fd, SO_ACCEPTCONN, during: operation) != 0 {
      return isUnix ? .unixListener : .tcpListener
    }
    return isUnix ? .unixStream : .tcp
  }
}

extension Socket {
  /// An option of all sockets that is a number. `getsockopt(2)`.
  fileprivate static func number(_ fd: Int32, _ name: Int32, during operation: String) throws(IoError)
    -> Int32
  {
    var bytes = [UInt8](repeating: 0, count: MemoryLayout<Int32>.size)
    _ = try Syscalls.getOption(fd, level: SOL_SOCKET, name: name, into: &bytes).value(during: operation)
    return unsafe bytes.withUnsafeBytes { unsafe $0.loadUnaligned(as: Int32.self) }
  }

  /// The peer's address. Throws `.notConnected`. `getpeername(2)`.
  static func peerAddress(_ fd: Int32, during operation: @autoclosure () -> String) throws(IoError)
    -> SocketAddress
  {
    let (result, address) = unsafe name { unsafe Syscalls.peerName(fd, $0, $1) }
    _ = try result.value(during: operation())
    return address ?? .unnamed
  }
}
