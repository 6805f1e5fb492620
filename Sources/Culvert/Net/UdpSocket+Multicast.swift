// SPDX-License-Identifier: Apache-2.0
// Groups: datagrams that go to all who joined. Hops and loop are options: `.multicastHops`, `.multicastLoop`.
//
// - The socket must be bound to the group or to the unspecified address ("0.0.0.0:PORT"), with `reuseAddress` if others on
//   this machine are to join too.
// - Without an interface the system takes the one that its route to the group names; no route is `.unreachable`, or
//   `.notFound`'s ENODEV (`.other`).

import CCulvert

extension UdpSocket {
  /// Receives what is sent to `group`, an IPv4 or IPv6 multicast address whose port does not count, by `interface`.
  ///
  /// Throws `.addressInUse` when that was done before, `.addressNotAvailable` for an interface that is not there,
  /// `.invalidArgument` for what is no group. `setsockopt(2)` with `MCAST_JOIN_GROUP`.
  ///
  /// ```swift
  /// let socket = try await UdpSocket.bind("0.0.0.0:7000", reuseAddress: true)
  /// try socket.join(SocketAddress("239.1.2.3:0"), on: .name("eth0"))
  /// ```
  public func join(_ group: SocketAddress, on interface: NetworkInterface = .any) throws(IoError) {
    try setMembership("join", group, source: nil, interface)
  }

  /// Receives what `source` sends to `group`, and nobody else; can be done for several sources.
  ///
  /// Otherwise as `join(_:on:)`. `setsockopt(2)` with `MCAST_JOIN_SOURCE_GROUP`.
  public func join(
    _ group: SocketAddress, from source: SocketAddress, on interface: NetworkInterface = .any
  ) throws(IoError) {
    try setMembership("join", group, source: source, interface)
  }

  /// Ends what `join(_:on:)` began. Throws `.addressNotAvailable` when there is no such membership. `setsockopt(2)` with
  /// `MCAST_LEAVE_GROUP`.
  public func leave(_ group: SocketAddress, on interface: NetworkInterface = .any) throws(IoError) {
    try setMembership("leave", group, source: nil, interface)
  }

  /// Ends what `join(_:from:on:)` began. `setsockopt(2)` with `MCAST_LEAVE_SOURCE_GROUP`.
  public func leave(
    _ group: SocketAddress, from source: SocketAddress, on interface: NetworkInterface = .any
  ) throws(IoError) {
    try setMembership("leave", group, source: source, interface)
  }

  /// Sends what goes to groups by `interface`; `.any` leaves it to the system's routes again.
  ///
  /// Throws `.addressNotAvailable` for an interface that is not there. `setsockopt(2)` with `IP_MULTICAST_IF`,
  /// `IPV6_MULTICAST_IF`.
  public func sendMulticast(by interface: NetworkInterface) throws(IoError) {
    let operation = "send multicast by \(interface) on \(self)"
    let index = try interface.index(during: operation)
    try use("send multicast on") { (fd) throws(IoError) in
      _ = try Syscalls.multicastInterface(fd, family: Socket.family(fd), index).value(during: operation)
    }
  }

  private func setMembership(
    _ verb: String, _ group: SocketAddress, source: SocketAddress?, _ interface: NetworkInterface
  ) throws(IoError) {
    let operation = "\(verb) group \(group)\(source.map { " of \($0)" } ?? "") by \(interface) on \(self)"
    if group.family == .unix || source?.family == .unix { throw IoError(.invalidArgument, during: operation) }
    let index = try interface.index(during: operation)
    try use(verb) { (fd) throws(IoError) in
      try Socket.setMembership(
        fd, join: verb == "join", group, source: source, interface: index, during: operation)
    }
  }
}
