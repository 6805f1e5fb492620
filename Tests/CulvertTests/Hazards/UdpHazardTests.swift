// SPDX-License-Identifier: Apache-2.0
// Bugs that other runtimes had with datagrams. Each test is named after its row in the list of hazards.
// Linux: elsewhere errors that come back are told in other ways.
#if os(Linux)
  import CCulvert
  import CulvertTesting
  import Testing

  @testable import Culvert

  @Suite(.timeLimit(watchdog)) struct UdpHazardTests {
    /// An address at which nobody is, of the same family.
    private func desertedAddress(_ address: SocketAddress) -> SocketAddress {
      let port = unusedPort()
      return address.family == .ipv6 ? .loopback6(port: port) : .loopback(port: port)
    }

    @Test(arguments: loopbacks, [false, true])
    func `hazard 9: a refused datagram is told once to who receives, and the next one arrives`(
      address: SocketAddress, keepsErrors: Bool
    ) async throws {
      try await onOneWorker { worker in
        for _ in 0..<rounds(ci: 20, stress: 2_000) {
          let target = desertedAddress(address)
          let socket = try await UdpSocket.bind(address)
          if keepsErrors { try socket.set(.reportErrors, to: true) }
          try socket.connect(to: target)
          async let refused = failure { try await socket.receive(upTo: 9) }
          await worker.idle()
          try await socket.send([1])
          #expect(await refused == .connectionRefused)
          async let received = socket.receive(upTo: 9)
          await worker.idle()  // never, if what is left of the error made the loop spin
          let peer = try await UdpSocket.bind(target)
          try await peer.send([2], to: socket.localAddress)
          #expect(try await received.bytes == [2])
          try await socket.send([3])
          #expect(try await peer.receive(upTo: 9).bytes == [3])
        }
      }
    }

    @Test(arguments: loopbacks)
    func `hazard 10: without a peer an error is told once where it was asked for, and else never`(
      address: SocketAddress
    ) async throws {
      try await onOneWorker { worker in
        for asks in [true, false] {
          let target = desertedAddress(address)
          let socket = try await UdpSocket.bind(address)
          try socket.set(.reportErrors, to: asks)
          #expect(try socket.get(.reportErrors) == asks)
          try await socket.send([1], to: target)
          let other = try await UdpSocket.bind(address)
          let told = await failure { try await socket.send([2], to: other.localAddress) }
          #expect(told == (asks ? .connectionRefused : nil))
          // The one that was told of has not gone out.
          try await socket.send([3], to: other.localAddress)
          #expect(try await other.receive(upTo: 9).bytes == [asks ? 3 : 2])
          async let received = socket.receive(upTo: 9)
          await worker.idle()
          try await other.send([4], to: socket.localAddress)
          #expect(try await received.bytes == [4])
        }
      }
    }

    @Test(arguments: [false, true])
    func `hazard 10: after an error nobody spins, and each error goes to one of those who ask`(
      keepsErrors: Bool
    ) async throws {
      try await onOneWorker { worker in
        let address = SocketAddress.loopback(port: 0)
        let target = desertedAddress(address)
        let socket = try await UdpSocket.bind(address)
        if keepsErrors { try socket.set(.reportErrors, to: true) }
        try socket.connect(to: target)
        // The senders are told of what the receiver is woken for: it must not take that for an error that stays.
        let told = Locked(0)
        async let receiving: IoError.Code? = {
          while true {
            do throws(IoError) {
              _ = try await socket.receive(upTo: 9)
            } catch {
              if error.code != .connectionRefused { return error.code }
              told.withLock { $0 += 1 }
            }
          }
        }()
        let count = rounds(ci: 200, stress: 20_000)
        for _ in 0..<count {
          if await failure({ try await socket.send([1]) }) == .connectionRefused { told.withLock { $0 += 1 } }
          await worker.idle()
        }
        #expect(try await turnsWhileIdle(worker) < aFewTurns)
        #expect((1...count).contains(told.withLock { $0 }))
        socket.close()
        #expect(await receiving == .closed)
      }
    }

    @Test(.disabled(if: isChaotic, aTryMayBlock))
    func `hazard 10: an error is told to a batch as well, once`() async throws {
      let address = SocketAddress.loopback(port: 0)
      let target = desertedAddress(address)
      let socket = try await UdpSocket.bind(address)
      try socket.connect(to: target)
      let batch = try DatagramBatch(capacity: 4, size: 9)
      try await socket.send([1])
      #expect(await failure { try await socket.receiveBatch(into: batch) } == .connectionRefused)
      let peer = try await UdpSocket.bind(target)
      for value in 0..<3 as Range<UInt8> { try batch.append([value]) }
      try await socket.sendBatch(batch)
      for value in 0..<3 as Range<UInt8> { #expect(try await peer.receive(upTo: 9).bytes == [value]) }
    }

    @Test func `hazard 17: a datagram shorter than its buffer does not mean that there is no other`()
      async throws
    {
      try await onOneWorker { worker in
        let pair = try await UdpPair().connected()
        var buffer = [UInt8](repeating: 0, count: 1000)
        for round in 0..<100 {
          let size = round % 3
          for _ in 0..<3 { try await pair.one.send([UInt8](repeating: 1, count: size)) }
          for _ in 0..<3 {
            let turn = worker.driver.turn
            #expect(try await pair.other.receive(into: &buffer).count == size)
            // Known to be ready still: no turn of the loop is waited for.
            if !isChaotic && round > 0 { #expect(worker.driver.turn - turn < 2) }
          }
        }
      }
    }
  }
#endif
