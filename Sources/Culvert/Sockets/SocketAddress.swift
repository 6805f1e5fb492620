// SPDX-License-Identifier: Apache-2.0
// The address of one end of a socket as a value: what it holds and how to make one. Text and the
// kernel's form of it are in the files next to this one.

import CCulvert

/// Where one end of a socket is: an IPv4 or IPv6 address with a port, or a Unix socket's path or abstract name.
///
/// Addresses are numeric: no name is ever looked up, except that of a network interface after `%`.
/// An IPv4 address mapped into IPv6, such as `::ffff:127.0.0.1`, is an IPv6 address and equals no IPv4 one.
/// Equal addresses are the same bytes for the kernel.
///
/// ```swift
/// let any = try SocketAddress("0.0.0.0:8080")
/// let near = try SocketAddress("[fe80::1%eth0]:8080")
/// let local = try SocketAddress("unix:/run/app.sock")
/// print(any.host, any.port ?? 0, near, local)  // 0.0.0.0 8080 [fe80::1%eth0]:8080 unix:/run/app.sock
/// ```
public struct SocketAddress: Sendable, Hashable {
  /// What kind of address it is.
  public enum Family: Sendable, Hashable {
    /// IPv4: four bytes and a port.
    case ipv4
    /// IPv6: sixteen bytes, a port, and a scope where the address needs one.
    case ipv6
    /// A Unix socket: a path in the file system, an abstract name (Linux), or no name at all.
    case unix
  }

  enum Storage: Sendable, Hashable {
    case v4(UInt32, port: UInt16)
    case v6(Ipv6, port: UInt16)
    /// Bytes and not a `String`: the kernel's paths need not be UTF-8, and strings that are equal need not
    /// have equal bytes. Empty is an unnamed socket; an abstract name begins with a NUL, as the kernel has it.
    case unix([UInt8])
  }

  /// An IPv6 address as two numbers, the first eight bytes in `high`.
  struct Ipv6: Sendable, Hashable {
    var high: UInt64
    var low: UInt64
    /// The index of a network interface, or 0.
    var scope: UInt32 = 0
    /// In network order, as the kernel had it. Text has no place for it.
    var flow: UInt32 = 0
  }

  let storage: Storage

  init(_ storage: Storage) {
    self.storage = storage
  }
}

extension SocketAddress {
  /// The IPv4 address `a.b.c.d` with a port.
  ///
  /// Port 0 asks the kernel to choose one when the address is bound.
  public static func ipv4(_ a: UInt8, _ b: UInt8, _ c: UInt8, _ d: UInt8, port: UInt16) -> SocketAddress {
    let bits = UInt32(a) << 24 | UInt32(b) << 16 | UInt32(c) << 8 | UInt32(d)
    return SocketAddress(.v4(bits, port: port))
  }

  /// This machine over IPv4: 127.0.0.1 with a port.
  ///
  /// Port 0 asks the kernel to choose one when the address is bound.
  public static func loopback(port: UInt16) -> SocketAddress {
    .ipv4(127, 0, 0, 1, port: port)
  }

  /// This machine over IPv6: ::1 with a port.
  ///
  /// Port 0 asks the kernel to choose one when the address is bound.
  public static func loopback6(port: UInt16) -> SocketAddress {
    SocketAddress(.v6(Ipv6(high: 0, low: 1), port: port))
  }

  /// The name of a socket that has none.
  static let unnamed = SocketAddress(.unix([]))

  /// The port in host order, or `nil` for a Unix socket.
  public var port: UInt16? {
    switch storage {
    case .v4(_, let port), .v6(_, let port): port
    case .unix: nil
    }
  }

  /// The kind of address.
  public var family: Family {
    switch storage {
    case .v4: .ipv4
    case .v6: .ipv6
    case .unix: .unix
    }
  }
}
