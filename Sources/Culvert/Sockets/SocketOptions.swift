// SPDX-License-Identifier: Apache-2.0
// The options that have a name here. Linger is not among them: a close must never block (`StreamSocket.reset`).

import CCulvert

extension SocketOption<Bool> {
  /// An address can be bound again while old connections on it linger. `SO_REUSEADDR`.
  public static let reuseAddress = Self(level: SOL_SOCKET, number: SO_REUSEADDR, name: "SO_REUSEADDR")
  /// Several sockets can be bound to one address, and share what arrives. `SO_REUSEPORT`.
  public static let reusePort = Self(level: SOL_SOCKET, number: culvert_so_reuseport(), name: "SO_REUSEPORT")
  /// Small writes go out at once. On unless turned off. `TCP_NODELAY`.
  public static let noDelay = Self(level: culvert_ipproto_tcp(), number: TCP_NODELAY, name: "TCP_NODELAY")
  /// A silent connection is probed now and then. `SO_KEEPALIVE`.
  public static let keepAlive = Self(level: SOL_SOCKET, number: SO_KEEPALIVE, name: "SO_KEEPALIVE")
  /// Acknowledgements go out at once, until the kernel thinks better of it. Linux. `TCP_QUICKACK`.
  public static let quickAck = Self(
    level: culvert_ipproto_tcp(), number: culvert_tcp_quickack(), name: "TCP_QUICKACK")
  /// A client's port is chosen by `connect`, not by `bind`: one port serves many destinations. Linux.
  /// `IP_BIND_ADDRESS_NO_PORT`.
  public static let bindAddressNoPort = Self(
    level: culvert_ipproto_ip(), number: culvert_ip_bind_address_no_port(), name: "IP_BIND_ADDRESS_NO_PORT")
  /// An IPv6 socket has nothing to do with IPv4. `IPV6_V6ONLY`.
  public static let v6Only = Self(level: culvert_ipproto_ipv6(), number: IPV6_V6ONLY, name: "IPV6_V6ONLY")
  /// Errors that come back for a datagram are told on a socket that is not connected, too. Linux. `IP_RECVERR`,
  /// `IPV6_RECVERR`.
  public static let reportErrors = Self(
    "IP_RECVERR", culvert_ipproto_ip(), culvert_ip_recverr(),
    ipv6: (culvert_ipproto_ipv6(), culvert_ipv6_recverr())
  ) {
    SocketOption<Int>.flag($0)
  } decode: {
    $0.first.map { $0 != 0 }
  }
  /// Datagrams may go to a broadcast address. `SO_BROADCAST`.
  public static let broadcast = Self(level: SOL_SOCKET, number: SO_BROADCAST, name: "SO_BROADCAST")
  /// What is sent to a group comes back to this machine's members. `IP_MULTICAST_LOOP`, `IPV6_MULTICAST_LOOP`.
  public static let multicastLoop = Self(
    "multicast loop", culvert_ipproto_ip(), IP_MULTICAST_LOOP,
    ipv6: (culvert_ipproto_ipv6(), IPV6_MULTICAST_LOOP)
  ) {
    SocketOption<Int>.flag($0)
  } decode: {
    $0.first.map { $0 != 0 }
  }
}

extension SocketOption<Int> {
  /// Bytes that the kernel keeps for us to read; Linux doubles what is set. `SO_RCVBUF`.
  public static let receiveBuffer = Self(
    number: SO_RCVBUF, level: SOL_SOCKET, name: "SO_RCVBUF", in: 1...Int(Int32.max))
  /// Bytes that the kernel keeps for the peer to read; Linux doubles what is set. `SO_SNDBUF`.
  public static let sendBuffer = Self(
    number: SO_SNDBUF, level: SOL_SOCKET, name: "SO_SNDBUF", in: 1...Int(Int32.max))
  /// Probes of a silent connection before it counts as dead. `TCP_KEEPCNT`.
  public static let keepAliveCount = Self(
    number: TCP_KEEPCNT, level: culvert_ipproto_tcp(), name: "TCP_KEEPCNT")
  /// Hops that a packet may make, 1 to 255. `IP_TTL`, `IPV6_UNICAST_HOPS`.
  public static let hops = Self(
    number: IP_TTL, level: culvert_ipproto_ip(), name: "the TTL",
    ipv6: (culvert_ipproto_ipv6(), IPV6_UNICAST_HOPS),
    in: 1...255)
  /// Hops that a packet to a group may make, 0 (this machine) to 255. `IP_MULTICAST_TTL`, `IPV6_MULTICAST_HOPS`.
  public static let multicastHops = Self(
    number: IP_MULTICAST_TTL, level: culvert_ipproto_ip(), name: "the multicast TTL",
    ipv6: (culvert_ipproto_ipv6(), IPV6_MULTICAST_HOPS), in: 0...255)
  /// How packets ask to be treated on their way: DSCP in the upper six bits, ECN in the lower two. `IP_TOS`, `IPV6_TCLASS`.
  public static let trafficClass = Self(
    number: IP_TOS, level: culvert_ipproto_ip(), name: "the traffic class",
    ipv6: (culvert_ipproto_ipv6(), IPV6_TCLASS),
    in: 0...255)

  fileprivate static func flag(_ on: Bool) -> [UInt8] {
    unsafe withUnsafeBytes(of: Int32(on ? 1 : 0)) { unsafe Array($0) }
  }
}

extension SocketOption<Duration> {
  /// Silence after which a connection is probed, in whole seconds. `TCP_KEEPIDLE`, on Darwin `TCP_KEEPALIVE`.
  public static let keepAliveIdle = Self(
    "TCP_KEEPIDLE", culvert_ipproto_tcp(), culvert_tcp_keepidle(), unit: .seconds(1))
  /// Time between two probes, in whole seconds. `TCP_KEEPINTVL`.
  public static let keepAliveInterval = Self(
    "TCP_KEEPINTVL", culvert_ipproto_tcp(), TCP_KEEPINTVL, unit: .seconds(1))
  /// How long what was sent may stay unacknowledged before the connection is given up, in milliseconds; zero is the
  /// system's default. Linux. `TCP_USER_TIMEOUT`.
  public static let userTimeout = Self(
    "TCP_USER_TIMEOUT", culvert_ipproto_tcp(), culvert_tcp_user_timeout(), unit: .milliseconds(1))
}

extension SocketOption<String> {
  /// The network interface that the socket is bound to; "" for none. Linux; may need a privilege. `SO_BINDTODEVICE`.
  public static let bindDevice = Self("SO_BINDTODEVICE", SOL_SOCKET, culvert_so_bindtodevice()) {
    Array($0.utf8)
  } decode: {
    String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
  }
}
