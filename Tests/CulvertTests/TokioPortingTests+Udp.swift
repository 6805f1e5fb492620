// SPDX-License-Identifier: Apache-2.0
// ComingFromTokio.md: UDP.

import Culvert
import Testing

extension TokioPortingTests {
  @Test func `a UDP socket sends and receives`() async throws {
    try await withRuntime(workers: 1) { _ in
      let socket = try await UdpSocket.bind("127.0.0.1:0")
      let other = try await UdpSocket.bind("127.0.0.1:0")
      let address = try other.localAddress
      let bytes = Array("hello".utf8)
      var buffer = [UInt8](repeating: 0, count: 2048)

      try await socket.send(bytes, to: address)
      let datagram = try await other.receive(into: &buffer)
      #expect(try datagram.sender == socket.localAddress && datagram.count == 5 && !datagram.isTruncated)

      try socket.connect(to: address)
      #expect(try socket.peerAddress == address)
      try await socket.writable()
      try await socket.send(bytes)
      #expect(try socket.trySend(bytes))
      #expect(try socket.trySend(bytes, to: address))
      try await other.readable()
      #expect(try await other.peek(into: &buffer).sender == socket.localAddress)
      var none: [UInt8] = []
      #expect(try await other.peek(into: &none).sender == socket.localAddress)
      #expect(try other.tryReceive(into: &buffer)?.count == 5)
      let (message, from) = try await other.receive(upTo: 2048)
      #expect(message == bytes && from.sender == datagram.sender)
      for try await (bytes, datagram) in other.datagrams(upTo: 2048) {
        #expect(bytes.count == datagram.count)
        break
      }
      #expect(try other.tryReceive(into: &buffer) == nil)
      let ready = try await other.ready(for: .writable)
      #expect(ready == .writable)
      try socket.disconnect()
    }
  }

  @Test func `a UDP socket has options, and can be given away`() async throws {
    try await withRuntime(workers: 1) { _ in
      var socket = try await UdpSocket.bind("127.0.0.1:0", reuseAddress: true)
      try socket.set(.broadcast, to: true)
      #expect(try socket.get(.broadcast))
      try socket.set(.multicastLoop, to: false)
      try socket.set(.multicastHops, to: 2)
      #expect(try !socket.get(.multicastLoop) && socket.get(.multicastHops) == 2)
      try socket.set(.trafficClass, to: 0x10)
      try socket.setTtl(64)
      #expect(try socket.get(.trafficClass) == 0x10 && socket.ttl == 64)
      let fd = try await socket.releaseFd()
      socket = try UdpSocket(adopting: fd)
      socket.close()
    }
  }

  @Test(.enabled(if: isLinux, onlyLinux)) func `a UDP socket tells of errors that came back`() async throws {
    try await withRuntime(workers: 1) { _ in
      let socket = try await UdpSocket.bind("127.0.0.1:0")
      #expect(try socket.get(.bindDevice) == "")
      try socket.connect(to: .loopback(port: unusedPort()))
      try await socket.send([1])
      #expect(await failure { try await socket.receive(upTo: 1) } == .connectionRefused)
    }
  }

  /// Not run: not every machine has a route to groups. UdpMulticastTests does.
  private func groups(_ socket: UdpSocket) async throws {
    let group = try SocketAddress("239.1.2.3:0")
    let mine = try SocketAddress("10.0.0.7:0")
    let source = try SocketAddress("10.0.0.9:0")
    try socket.join(group, on: .address(mine))
    try socket.leave(group, on: .address(mine))
    try socket.join(group, on: .index(2))
    try socket.leave(group, on: .index(2))
    try socket.join(group, from: source, on: .name("eth0"))
    try socket.sendMulticast(by: .name("eth0"))
    try socket.set(.bindDevice, to: "eth0")
  }
}
