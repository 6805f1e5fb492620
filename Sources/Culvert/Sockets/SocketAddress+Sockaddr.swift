// SPDX-License-Identifier: Apache-2.0
// Addresses in the kernel's form. Nothing here allocates for IPv4 and IPv6.
// Darwin's length field (sin_len) stays 0: the kernel takes the length it is given next to the pointer.

import CCulvert

extension SocketAddress {
  /// Lends the kernel's form of the address and its length in bytes; the pointer ends with the call.
  @inline(__always)
  func withSockaddr<R>(
    _ body: (UnsafePointer<sockaddr>, socklen_t) throws(IoError) -> R
  ) throws(IoError) -> R {
    try unsafe withUnsafeTemporaryAllocation(of: sockaddr_storage.self, capacity: 1) {
      (room) throws(IoError) -> R in
      let raw = unsafe UnsafeMutableRawPointer(room.baseAddress.unsafelyUnwrapped)
      let length = unsafe store(in: raw)
      return try unsafe body(raw.assumingMemoryBound(to: sockaddr.self), socklen_t(length))
    }
  }

  /// Writes the kernel's form of the address to memory that has room for any; returns its length in bytes.
  private func store(in memory: UnsafeMutableRawPointer) -> Int {
    switch storage {
    case .v4(let bits, let port):
      var raw = sockaddr_in()
      raw.sin_family = sa_family_t(AF_INET)
      raw.sin_port = port.bigEndian
      raw.sin_addr.s_addr = bits.bigEndian
      unsafe memory.storeBytes(of: raw, as: sockaddr_in.self)
      return MemoryLayout<sockaddr_in>.size
    case .v6(let address, let port):
      var raw = sockaddr_in6()
      raw.sin6_family = sa_family_t(AF_INET6)
      raw.sin6_port = port.bigEndian
      raw.sin6_addr = in6_addr(address)
      raw.sin6_scope_id = address.scope
      raw.sin6_flowinfo = address.flow
      unsafe memory.storeBytes(of: raw, as: sockaddr_in6.self)
      return MemoryLayout<sockaddr_in6>.size
    case .unix(let path):
      var raw = sockaddr_un()
      raw.sun_family = sa_family_t(AF_UNIX)
      unsafe withUnsafeMutableBytes(of: &raw.sun_path) { unsafe $0.copyBytes(from: path) }
      unsafe memory.storeBytes(of: raw, as: sockaddr_un.self)
      // With the NUL, where there is room for it. No path at all is how an unnamed socket is told, and an abstract name
      // is as long as it is: a NUL at its end would belong to it.
      let isWhole = path.isEmpty || path.first == 0
      return sockaddr_un.pathOffset + (isWhole ? path.count : min(path.count + 1, sockaddr_un.pathCapacity))
    }
  }

  /// Gives a system call room for an address; returns its result and the address that it left there.
  ///
  /// There is none when the result is negative, with `errno` untouched, or the family is unknown.
  static func read(
    _ fill: (UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> Int32
  ) -> (result: Int32, address: SocketAddress?) {
    var raw = sockaddr_storage()
    var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
    let result = unsafe withUnsafeMutablePointer(to: &raw) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe fill($0, &length) }
    }
    return (result, result < 0 ? nil : unsafe SocketAddress(&raw, length: Int(length)))
  }

  /// By pointer: copying what has room for any address costs more than reading the one that is there.
  init?(_ raw: UnsafePointer<sockaddr_storage>, length: Int) {
    let raw = unsafe UnsafeRawPointer(raw)
    switch Int32(unsafe raw.load(as: sockaddr.self).sa_family) {
    case AF_INET:
      let raw = unsafe raw.load(as: sockaddr_in.self)
      self.init(.v4(UInt32(bigEndian: raw.sin_addr.s_addr), port: UInt16(bigEndian: raw.sin_port)))
    case AF_INET6:
      let raw = unsafe raw.load(as: sockaddr_in6.self)
      var address = Ipv6(raw.sin6_addr)
      address.scope = raw.sin6_scope_id
      address.flow = raw.sin6_flowinfo
      self.init(.v6(address, port: UInt16(bigEndian: raw.sin6_port)))
    case AF_UNIX:
      let raw = unsafe raw.load(as: sockaddr_un.self)
      let path = unsafe withUnsafeBytes(of: raw.sun_path) { bytes in
        let told = unsafe bytes.prefix(max(0, length - sockaddr_un.pathOffset))
        let isAbstract = unsafe Platform.hasAbstractNames && told.first == 0
        return unsafe isAbstract ? Array(told) : Array(told.prefix { $0 != 0 })
      }
      self.init(.unix(path))
    default:
      return nil
    }
  }
}

extension SocketAddress.Family {
  /// As system calls want it.
  var value: Int32 {
    switch self {
    case .ipv4: AF_INET
    case .ipv6: AF_INET6
    case .unix: AF_UNIX
    }
  }
}

extension SocketAddress.Ipv6 {
  init(_ raw: in6_addr) {
    let (high, low) = unsafe unsafeBitCast(raw, to: (UInt64, UInt64).self)
    self.init(high: UInt64(bigEndian: high), low: UInt64(bigEndian: low))
  }
}

extension in6_addr {
  /// As bits, since the union inside has a name of its own on each platform.
  init(_ address: SocketAddress.Ipv6) {
    self = unsafe unsafeBitCast((address.high.bigEndian, address.low.bigEndian), to: in6_addr.self)
  }
}

extension sockaddr_un {
  /// How many bytes a path may have, its NUL among them: 108 on Linux, 104 on Darwin.
  static var pathCapacity: Int { MemoryLayout.size(ofValue: sockaddr_un().sun_path) }

  /// The path is the last member.
  static var pathOffset: Int { MemoryLayout<sockaddr_un>.size - pathCapacity }
}
