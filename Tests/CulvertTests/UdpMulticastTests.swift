// SPDX-License-Identifier: Apache-2.0
// Groups on the loopback interface.
import CCulvert
import Testing

@testable import Culvert

@Suite(.timeLimit(watchdog)) struct UdpMulticastTests {
  struct Setting: Sendable {
    let any: SocketAddress
    let group: SocketAddress
    let mine: SocketAddress
    let stranger: SocketAddress
    /// Whether this machine can send to a group on its loopback interface.
    let works: Bool

    init(_ any: String, _ group: String, _ mine: String, _ stranger: String) throws {
      (self.any, self.group) = (try SocketAddress(any), try SocketAddress(group))
      (self.mine, self.stranger) = (try SocketAddress(mine), try SocketAddress(stranger))
      works = Self.canSend(self.any, self.group, self.mine)
    }

    private static func canSend(_ any: SocketAddress, _ group: SocketAddress, _ mine: SocketAddress) -> Bool {
      guard let fd = try? Socket.datagram(for: any.family, during: "try") else { return false }
      defer { close(fd) }
      guard let index = try? NetworkInterface.address(mine).index(during: "try") else { return false }
      let source: Void? = try? Socket.setMembership(
        fd, join: true, group, source: nil, interface: index, during: "try")
      return source != nil
        && !Syscalls.multicastInterface(fd, family: any.family.value, index).failed
        && (try? Socket.connectDatagram(fd, to: group, during: "try")) != nil
    }

    static let all =
      (try? [
        Setting("0.0.0.0:0", "239.1.2.3:9", "127.0.0.1:0", "127.0.0.2:0"),
        Setting("[::]:0", "[ff15::7:8]:9", "[::1]:0", "[2001:db8::1]:0"),
      ]) ?? []
    static let usable = all.filter(\.works)
  }

  private static let why: Comment = "this machine has no route to a group by its loopback interface"

  @Test(.enabled(if: Setting.usable.count == 2, why))
  func `IPv4 and IPv6 both have a route to groups here`() {}

  private func sockets(_ setting: Setting) async throws -> (
    receiver: UdpSocket, sender: UdpSocket, target: SocketAddress
  ) {
    let receiver = try await UdpSocket.bind(setting.any, reuseAddress: true)
    let sender = try await UdpSocket.bind(setting.any)
    try sender.sendMulticast(by: .address(setting.mine))
    let port = Int(try #require(try receiver.localAddress.port))
    return (receiver, sender, try SocketAddress(host: setting.group.host, port: port))
  }

  @Test(arguments: Setting.usable)
  func `who joined gets what is sent to the group, until it leaves`(setting: Setting) async throws {
    let (receiver, sender, target) = try await sockets(setting)
    let second = try await UdpSocket.bind(receiver.localAddress, reuseAddress: true)
    let interface = Int(try NetworkInterface.address(setting.mine).index(during: "test"))
    try receiver.reportArrival(true)
    try receiver.join(setting.group, on: .address(setting.mine))
    try second.join(setting.group, on: .index(interface))
    #expect(await failure { try receiver.join(setting.group, on: .index(interface)) } == .addressInUse)
    for value in 0..<3 as Range<UInt8> {
      try await sender.send([value], to: target)
      let (bytes, datagram) = try await receiver.receive(upTo: 9)
      #expect(bytes == [value] && datagram.destination?.host == setting.group.host)
      #expect(datagram.interface == interface)
      #expect(try await second.receive(upTo: 9).bytes == [value])
    }
    try receiver.leave(setting.group, on: .index(interface))
    #expect(
      await failure { try receiver.leave(setting.group, on: .index(interface)) } == .addressNotAvailable)
    // Still hears what is sent to it alone.
    let port = Int(try #require(target.port))
    try await sender.send([9], to: SocketAddress(host: setting.mine.host, port: port))
    second.close()
  }

  // That nothing comes back without it can't be seen here: what leaves by the loopback interface comes in by it.
  @Test(arguments: Setting.usable)
  func `loop and hops can be set, and a group on this machine is heard with no hop`(setting: Setting)
    async throws
  {
    let (receiver, sender, target) = try await sockets(setting)
    try receiver.join(setting.group, on: .address(setting.mine))
    for loops in [false, true] {
      try sender.set(.multicastLoop, to: loops)
      #expect(try sender.get(.multicastLoop) == loops)
    }
    try sender.set(.multicastHops, to: 0)
    #expect(try sender.get(.multicastHops) == 0)
    try await sender.send([1], to: target)
    #expect(try await receiver.receive(upTo: 9).bytes == [1])
  }

  @Test(arguments: Setting.usable)
  func `a join of one source hears that source only`(setting: Setting) async throws {
    let (receiver, sender, target) = try await sockets(setting)
    let here = NetworkInterface.address(setting.mine)
    try receiver.join(setting.group, from: setting.stranger, on: here)
    try await sender.send([1], to: target)
    try receiver.join(setting.group, from: setting.mine, on: here)
    let mine = try await UdpSocket.bind(setting.mine)
    try mine.sendMulticast(by: here)
    try await mine.send([2], to: target)
    #expect(try await receiver.receive(upTo: 9).bytes == [2])
    try receiver.leave(setting.group, from: setting.mine, on: here)
    try receiver.leave(setting.group, from: setting.stranger, on: here)
  }

  @Test func `what is no group, and an interface that is not there, are refused`() async throws {
    let socket = try await UdpSocket.bind("0.0.0.0:0")
    #expect(await failure { try socket.join(SocketAddress("127.0.0.1:0")) } == .invalidArgument)
    #expect(await failure { try socket.join(SocketAddress("unix:/x")) } == .invalidArgument)
    #expect(await failure { try socket.sendMulticast(by: .name("none such")) } == .addressNotAvailable)
    #expect(await failure { try socket.sendMulticast(by: .index(-1)) } == .addressNotAvailable)
    let absent = NetworkInterface.address(.ipv4(192, 0, 2, 1, port: 0))
    #expect(
      await failure { try socket.join(SocketAddress("239.1.2.3:0"), on: absent) } == .addressNotAvailable)
    try socket.sendMulticast(by: .any)
  }
}
