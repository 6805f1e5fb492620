// SPDX-License-Identifier: Apache-2.0
// Error conditions that the loop reports: told once, never a loop, and the source is as good as before.
// Linux: elsewhere the loop reports them as readiness.
#if os(Linux)
  import CCulvert
  import CulvertTesting
  import Testing

  @testable import Culvert

  @Suite(.timeLimit(watchdog)) struct ErrorConditionTests {
    /// A UDP socket that is bound to `address`, or to a port of its own.
    private func datagrams(_ address: SocketAddress = .loopback(port: 0)) throws -> Int32 {
      let result = Syscalls.socket(family: address.family.value, type: culvert_sock_dgram())
      let fd = Int32(try result.value(during: "make a socket"))
      try Socket.bind(fd, to: address, during: "bind")
      return fd
    }

    private func address(_ fd: Int32) throws -> SocketAddress {
      try Socket.localAddress(fd, during: "look up")
    }

    /// A source of datagrams from one address, where nobody is: what is sent there is refused.
    private func deserted(keepsErrors: Bool = false) throws -> (bridge: BridgedFd, peer: SocketAddress) {
      let (mine, peer) = (try datagrams(), SocketAddress.loopback(port: unusedPort()))
      _ = try Socket.connect(mine, to: peer, during: "connect")
      if keepsErrors {
        #expect(
          !Syscalls.setOption(mine, level: culvert_ipproto_ip(), name: IP_RECVERR, to: [1, 0, 0, 0]).failed)
      }
      return (try BridgedFd(adopting: mine), peer)
    }

    @Test(arguments: [false, true])
    func `a refused datagram is told once, and the next one arrives`(keepsErrors: Bool) async throws {
      try await onOneWorker { worker in
        let (bridge, peer) = try deserted(keepsErrors: keepsErrors)
        async let refused = failure { try await bridge.asyncCall(.readable, readByte) }
        await worker.idle()
        #expect(writeByte(bridge.fd))
        #expect(await refused == .connectionRefused)
        async let byte = bridge.asyncCall(.readable, readByte)
        await worker.idle()  // never, if what is left of the error made the loop spin
        let theirs = try datagrams(peer)
        defer { close(theirs) }
        _ = try Socket.connect(theirs, to: address(bridge.fd), during: "connect")
        #expect(writeByte(theirs, 5))
        #expect(try await byte == 5)
      }
    }

    @Test func `an error that the call itself does not find is thrown all the same`() async throws {
      try await onOneWorker { worker in
        let (bridge, _) = try deserted()
        async let refused = failure {
          try await bridge.asyncCall(.readable) { (_) throws(IoError) -> Int? in nil }
        }
        await worker.idle()
        #expect(writeByte(bridge.fd))
        #expect(await refused == .connectionRefused)
      }
    }

    @Test func `after an error that was not the end, a wait for the end is a wait`() async throws {
      try await onOneWorker { worker in
        let (bridge, _) = try deserted()
        async let woken = bridge.ready(for: .peerFinished)
        await worker.idle()
        #expect(writeByte(bridge.fd))
        #expect(try await woken == .peerFinished)  // as far as anybody can know while there is an error
        #expect(await failure { try await bridge.asyncCall(.readable, readByte) } == .connectionRefused)
        async let closed = failure { try await bridge.ready(for: .peerFinished) }
        await worker.idle()  // never, if the error had been taken for the end
        bridge.close()
        #expect(await closed == .closed)
      }
    }

    @Test func `an error condition that stays is an error, and not a loop`() async throws {
      try await onOneWorker { worker in
        var ends: [Int32] = [-1, -1]
        try #require(unsafe pipe(&ends) == 0)
        let bridge = try BridgedFd(adopting: ends[1])
        let chunk = [UInt8](repeating: 0, count: 4096)
        while unsafe write(ends[1], chunk, chunk.count) > 0 {}
        async let error = thrown {
          try await bridge.asyncCall(.writable) { (_) throws(IoError) -> Int? in nil }
        }
        await worker.idle()
        close(ends[0])
        #expect(await error?.errno == EIO)
      }
    }

    @Test func `a socket that is not connected is not taken for connected, whatever the loop reports`() throws
    {
      let address = SocketAddress.loopback(port: 0)
      let socket = Descriptor(adopting: try Socket.stream(for: address.family, during: "test"))
      #expect(try Socket.isConnected(socket.number, during: "test") == nil)
    }
  }
#endif
