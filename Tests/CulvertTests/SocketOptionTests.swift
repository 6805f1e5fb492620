// SPDX-License-Identifier: Apache-2.0
// Options: each is set and read on the sockets that have it, refusals say what was refused, and what the kernel tells of
// a connection.
import CCulvert
import CulvertTesting
import Testing

@testable import Culvert

@Suite(.timeLimit(watchdog)) struct SocketOptionTests {
  @Test(arguments: [false, true])
  func `options that are on or off`(on: Bool) async throws {
    let socket = try TcpSocket(.ipv4)
    var options: [SocketOption<Bool>] = [.reuseAddress, .reusePort, .noDelay, .keepAlive]
    if Platform.hasAbstractNames { options += [.bindAddressNoPort] }
    for option in options {
      try socket.set(option, to: on)
      #expect(try socket.get(option) == on, "\(option.name)")
    }
    let (client, server) = try await TcpStream.loopbackPair()
    try client.setNoDelay(on)
    #expect(try client.noDelay == on && server.noDelay)
    #if os(Linux)
      try client.set(.quickAck, to: on)
      _ = try client.get(.quickAck)  // the kernel thinks better of it at any time
    #endif
    let v6 = try TcpSocket(.ipv6)
    try v6.set(.v6Only, to: on)
    #expect(try v6.get(.v6Only) == on)
  }

  @Test func `times count in the option's unit, and a part of one counts as a whole one`() async throws {
    let (client, _) = try await TcpStream.loopbackPair()
    try client.set(.keepAliveIdle, to: .seconds(30))
    try client.set(.keepAliveInterval, to: .milliseconds(1500))
    try client.set(.keepAliveCount, to: 4)
    #expect(try client.get(.keepAliveIdle) == .seconds(30))
    #expect(try client.get(.keepAliveInterval) == .seconds(2))
    #expect(try client.get(.keepAliveCount) == 4)
    #if os(Linux)
      try client.set(.userTimeout, to: .milliseconds(1234))
      #expect(try client.get(.userTimeout) == .milliseconds(1234))
    #endif
  }

  @Test(arguments: loopbacks)
  func `what packets carry is set by family`(address: SocketAddress) async throws {
    let listener = try await TcpListener.bind(address)
    let client = try await TcpStream.connect(to: listener.localAddress)
    for value in [1, 64, 255] {
      try client.setTtl(value)
      try listener.set(.hops, to: value)
      #expect(try client.ttl == value && listener.ttl == value)
    }
    try client.set(.trafficClass, to: 0x48)
    #expect(try client.get(.trafficClass) == 0x48)
  }

  @Test func `buffers have at least the size that was asked for`() async throws {
    let listener = try await TcpListener.bind("127.0.0.1:0")
    let (client, _) = try await TcpStream.loopbackPair()
    for option in [SocketOption<Int>.receiveBuffer, .sendBuffer] {
      try client.set(option, to: 20_000)
      try listener.set(option, to: 20_000)
      #expect(try client.get(option) >= 20_000 && listener.get(option) >= 20_000)
    }
  }

  #if os(Linux)
    @Test(.enabled(if: geteuid() == 0, "needs a privilege"))
    func `a socket that is bound to a device connects by it`() async throws {
      let listener = try await TcpListener.bind("127.0.0.1:0")
      let socket = try TcpSocket(.ipv4)
      try socket.set(.bindDevice, to: "lo")
      #expect(try socket.get(.bindDevice) == "lo")
      let stream = try await socket.connect(to: listener.localAddress)
      #expect(try stream.get(.bindDevice) == "lo")
      let error = await thrown { try TcpSocket(.ipv4).set(.bindDevice, to: "no-such0") }
      #expect(error?.operation == "set SO_BINDTODEVICE of a TCP socket for ipv4 to no-such0")
    }
  #endif

  @Test func `an option that is refused names itself and the value`() async throws {
    let (client, _) = try await TcpStream.loopbackPair()
    let refused = await thrown { try client.set(.keepAliveCount, to: 1_000_000) }
    #expect(refused?.operation == "set TCP_KEEPCNT of \(client) to 1000000")
    #expect(refused?.code == .invalidArgument)
    let outside = await thrown { try client.setTtl(256) }
    #expect(outside?.operation == "set the TTL of \(client) to 256, which is not in 1...255")
    let unknown = SocketOption<Int>(level: SOL_SOCKET, number: 9999, name: "SO_NONE")
    #expect(await failure { try client.set(unknown, to: 1) } == .unsupported)
    #expect(await failure { try client.get(unknown) } == .unsupported)
    client.close()
    #expect(await failure { try client.get(.keepAlive) } == .closed)
  }

  @Test func `a reset is the only use of linger`() async throws {
    let (client, server) = try await TcpStream.loopbackPair()
    client.reset()
    #expect(await failure { try await server.read(upTo: 1) } == .connectionReset)
    #expect(await failure { try await client.read(upTo: 1) } == .closed)
  }

  // MARK: TCP_INFO

  #if os(Linux)
    @Test func `the kernel's figures of a connection add up`() async throws {
      let (client, server) = try await TcpStream.loopbackPair()
      let before = try client.info
      #expect(before.state == .established && before.bytesReceived == 0 && before.retransmits == 0)
      try await client.write([UInt8](repeating: 1, count: 30_000))
      var left = 30_000
      while left > 0 { left -= try await server.read(upTo: left)?.count ?? left }
      try await server.write("!")
      #expect(try await client.read(upTo: 1) != nil)
      let (sent, received) = (try client.info, try server.info)
      #expect(sent.bytesSent ?? 0 >= 30_000 && received.bytesReceived == 30_000)
      #expect(sent.bytesReceived == 1 && sent.lost == 0)
      #expect(sent.roundTripTime > .zero && sent.roundTripTime < .seconds(10))
      #expect(sent.roundTripVariance > .zero)
      #expect(sent.congestionWindow > 0 && sent.sendMss > 500 && received.receiveMss > 0)
      try client.shutdown()
      #expect(try await server.read(upTo: 1) == nil)
      #expect(try server.info.state == .closeWait)
      client.close()
      #expect(await failure { try client.info } == .closed)
    }
  #endif

  @Test func `what is no TCP connection has no such figures`() async throws {
    let (one, _) = try TcpStream.overSocketPair()
    let error = await thrown { try one.info }
    #expect(error?.code == .unsupported && error?.operation == "ask about \(one)")
  }
}
