// SPDX-License-Identifier: Apache-2.0
// ComingFromTokio.md: TCP, and names of hosts.

import Culvert
import CulvertTesting
import Testing

extension TokioPortingTests {
  @Test func `a TCP listener`() async throws {
    try await withRuntime(workers: 1) { _ in
      var listener = try await TcpListener.bind("127.0.0.1:0")
      let address = try listener.localAddress
      let client = try await TcpStream.connect(to: address)
      let stream = try await listener.accept()
      #expect(stream.peerAddress == (try client.localAddress))

      try listener.setTtl(64)
      #expect(try listener.ttl == 64)
      #expect(listener.fd >= 0)
      let fd = try await listener.releaseFd()
      listener = try TcpListener(adopting: fd)

      let next = try await TcpStream.connect(to: address)
      for try await stream in listener.connections {
        #expect(stream.peerAddress == (try next.localAddress))
        break
      }
      listener.close()
      await listener.closed()
    }
  }

  @Test func `a TCP stream reads, writes and waits`() async throws {
    try await withRuntime(workers: 1) { _ in
      let (stream, peer) = try await TcpStream.loopbackPair()
      let bytes = Array("hello".utf8)
      var buffer = [UInt8](repeating: 0, count: 16)

      try await stream.writable()
      #expect(try stream.tryWrite(bytes) == 5)
      #expect(try stream.tryRead(into: &buffer) == nil)
      try await peer.write("hello")
      try await stream.readable()
      #expect(try await stream.peek(into: &buffer) == 5)
      let ready = try await stream.ready(for: [.readable, .writable])
      #expect(ready.contains(.readable) && ready.contains(.writable))
      #expect(try stream.tryRead(into: &buffer) == 5)

      // Two tasks, one stream: what tokio needs halves for.
      async let sent: Void = stream.write("to you")
      async let got = stream.read(upTo: 16)
      try await sent
      var all: [UInt8] = []
      while all.count < 11, let some = try await peer.read(upTo: 16) { all += some }
      #expect(all == Array("helloto you".utf8))
      try await peer.write("to me")
      #expect(try await got == Array("to me".utf8))
    }
  }

  @Test func `a TCP stream has options, and can be given away`() async throws {
    try await withRuntime(workers: 1) { _ in
      var (stream, peer) = try await TcpStream.loopbackPair()
      try stream.setNoDelay(false)
      #expect(try stream.noDelay == false)
      try stream.setTtl(64)
      #expect(try stream.ttl == 64)
      #expect(try stream.localAddress == peer.peerAddress && stream.fd >= 0)

      let fd = try await stream.releaseFd()
      stream = try TcpStream(adopting: fd)
      stream.reset()
      #expect(await failure { try await peer.read(upTo: 1) } == .connectionReset)
    }
  }

  @Test(.enabled(if: isLinux, onlyLinux)) func `what TCP has on Linux only`() async throws {
    try await withRuntime(workers: 1) { _ in
      let (stream, peer) = try await TcpStream.loopbackPair()
      try stream.set(.quickAck, to: true)
      #expect(try stream.get(.quickAck))
      #expect(try stream.info.state != nil)
      let socket = try TcpSocket(.ipv4)
      #expect(try socket.get(.bindDevice) == "")
      try peer.shutdown()
      try await stream.peerFinished()
      try stream.shutdown()
      try await stream.hungUp()
    }
  }

  /// Not run: may need a privilege.
  private func bindDevice(_ socket: borrowing TcpSocket) throws {
    try socket.set(.bindDevice, to: "eth0")
  }

  @Test func `a TCP socket is set up before it connects or listens`() async throws {
    try await withRuntime(workers: 1) { _ in
      let socket = try TcpSocket(.ipv4)
      try socket.set(.reuseAddress, to: true)
      try socket.set(.reusePort, to: true)
      try socket.set(.keepAlive, to: true)
      try socket.set(.keepAliveIdle, to: .seconds(30))
      try socket.set(.sendBuffer, to: 65_536)
      try socket.set(.receiveBuffer, to: 65_536)
      try socket.set(.noDelay, to: false)
      try socket.set(.trafficClass, to: 0x10)
      #expect(try socket.get(.keepAlive) && socket.get(.receiveBuffer) >= 65_536)
      try socket.bind(to: "127.0.0.1:0")
      let address = try socket.localAddress
      let listener = try socket.listen(backlog: 128)
      #expect(try listener.localAddress == address)

      let client = try TcpSocket(address.family)
      let stream = try await client.connect(to: address)
      #expect(stream.peerAddress == address)
      #expect(await failure { _ = try TcpSocket(.unix) } == .unsupported)
      _ = await failure { _ = try TcpSocket(.ipv6) }  // this machine may have none
    }
  }

  @Test func `addresses are values, and names are looked up`() async throws {
    struct Table: Resolver {
      let addresses: [SocketAddress]
      func resolve(_ host: String, port: UInt16) async throws(IoError) -> [SocketAddress] { addresses }
    }
    try await withRuntime(workers: 1) { _ in
      let listener = try await TcpListener.bind(.loopback(port: 0))
      let port = try #require(try listener.localAddress.port)
      let address = try SocketAddress("127.0.0.1:80")
      #expect(try address == SocketAddress(host: "127.0.0.1", port: 80))
      #expect(address == .ipv4(127, 0, 0, 1, port: 80))
      #expect(address.host == "127.0.0.1" && address.port == 80 && address.family == .ipv4)

      let addresses = try await resolve("127.0.0.1", port: port)
      #expect(addresses == [try listener.localAddress])
      let table = Table(addresses: [.loopback(port: unusedPort()), .loopback(port: port)])
      let stream = try await TcpStream.connect(host: "db.internal", port: 5432, resolver: table)
      #expect(stream.peerAddress.port == port)
    }
  }

  /// Not run: nobody is asked for names in tests.
  private func names() async throws {
    _ = try await resolve("example.org", port: 80)
    _ = try await TcpStream.connect(to: "example.org:80")
    _ = try await TcpStream.connect(host: "example.org", port: 80)
  }
}
