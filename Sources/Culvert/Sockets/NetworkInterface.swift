// SPDX-License-Identifier: Apache-2.0
// How a program names a network interface.

import CCulvert

/// A network interface of this machine, by its number, its name or one of its addresses.
public enum NetworkInterface: Sendable, Hashable {
  /// Whichever the system chooses by its routes.
  case any
  /// The interface with that number.
  case index(Int)
  /// The interface with that name, such as "eth0".
  case name(String)
  /// The interface that has that address; its port does not count.
  case address(SocketAddress)

  /// Its number, or 0 for `any`. Throws `.addressNotAvailable` when this machine has none such. `if_nametoindex(3)`,
  /// `getifaddrs(3)`.
  func index(during operation: @autoclosure () -> String) throws(IoError) -> UInt32 {
    let index: UInt32
    switch self {
    case .any: return 0
    case .index(let number): index = UInt32(exactly: number) ?? 0
    case .name(let name): index = unsafe if_nametoindex(name)
    case .address(let address):
      index = try unsafe address.withSockaddr { (raw, _) throws(IoError) in
        unsafe culvert_interface_with(raw)
      }
    }
    if index == 0 {
      throw IoError(.addressNotAvailable, during: operation() + ": look up interface \(self)")
    }
    return index
  }
}
