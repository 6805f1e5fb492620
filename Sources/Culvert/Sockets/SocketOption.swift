// SPDX-License-Identifier: Apache-2.0
// Socket options by name: where the kernel keeps them, and how an error names them.

import CCulvert

/// An option whose value is a whole number.
struct SocketOption: Sendable {
  let name: String
  let level: Int32
  let number: Int32

  static let reuseAddress = SocketOption(name: "SO_REUSEADDR", level: SOL_SOCKET, number: SO_REUSEADDR)
  static let noDelay = SocketOption(name: "TCP_NODELAY", level: culvert_ipproto_tcp(), number: TCP_NODELAY)
  static let v6Only = SocketOption(name: "IPV6_V6ONLY", level: culvert_ipproto_ipv6(), number: IPV6_V6ONLY)

  /// Hops that a packet may make: `IP_TTL`, or `IPV6_UNICAST_HOPS`.
  static func hops(_ family: SocketAddress.Family) -> SocketOption {
    family == .ipv6
      ? SocketOption(name: "IPV6_UNICAST_HOPS", level: culvert_ipproto_ipv6(), number: IPV6_UNICAST_HOPS)
      : SocketOption(name: "IP_TTL", level: culvert_ipproto_ip(), number: IP_TTL)
  }

  /// Sets the hops of a socket, 1 to 255. The kernel would take -1 for "the default".
  static func setHops(
    _ fd: Int32, _ family: SocketAddress.Family, to hops: Int, of what: @autoclosure () -> String
  ) throws(IoError) {
    guard (1...255).contains(hops) else {
      throw IoError(.invalidArgument, during: "set the TTL of \(what()) to \(hops), which is not in 1...255")
    }
    try Self.hops(family).set(fd, to: hops, of: what())
  }

  func get(_ fd: Int32, of what: @autoclosure () -> String) throws(IoError) -> Int {
    var value: Int32 = 0
    _ = try Syscalls.getOption(fd, level: level, name: number, into: &value)
      .value(during: "read \(name) of \(what())")
    return Int(value)
  }

  func set(_ fd: Int32, to value: Int, of what: @autoclosure () -> String) throws(IoError) {
    guard let value = Int32(exactly: value) else {
      throw IoError(.invalidArgument, during: "set \(name) of \(what()) to \(value)")
    }
    _ = try Syscalls.setOption(fd, level: level, name: number, to: value)
      .value(during: "set \(name) of \(what()) to \(value)")
  }
}
