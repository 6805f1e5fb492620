// SPDX-License-Identifier: Apache-2.0
// Bugs that other runtimes had with connecting, accepting and passing on. Each test is named after its row in the list of
// hazards.
import CCulvert
import CulvertTesting
import Synchronization
import Testing

@testable import Culvert

@Suite(.timeLimit(watchdog)) struct NetHazardTests {
  // MARK: connecting

  @Test(arguments: loopbacks)
  func `hazard 26: a connect that has waited is refused like any other`(address: SocketAddress) async throws {
    try await onOneWorker { worker in
      // A port that no test is given: a listener of another one's would take the connections that are asked for again.
      let target = try SocketAddress(host: address.host, port: Int(unusedPort()))
      let listener = try await TcpListener.bind(target, backlog: 0)
      try await withThrowingTaskGroup(of: IoError?.self) { group in
        for _ in 0..<6 { group.addTask { await thrown { try await TcpStream.connect(to: target) } } }
        await worker.idle()
        // The kernel has taken two at most. It asks for the others again after a second, and finds nobody.
        await listener.closed()
        var refused = 0
        for try await error in group where error != nil {
          #expect(error?.code == .connectionRefused && error?.operation == "connect to \(target)")
          refused += 1
        }
        #expect(refused >= 4)
      }
      await worker.idle { worker.driver.handle.registrationCount == 0 }
    }
  }

  @Test(arguments: loopbacks)
  func `hazard 26: a connection that is reset while it is made is a reset, at once or at the first read`(
    address: SocketAddress
  ) async throws {
    try await withRuntime(workers: 2) { runtime in
      let listener = try await TcpListener.bind(address)
      async let served: Void = listener.serve { try $0.cut() }
      for _ in 0..<rounds(ci: 500, stress: 50_000) {
        let code = await failure {
          let stream = try await TcpStream.connect(to: listener.localAddress)
          _ = try await stream.read(upTo: 1)
        }
        #expect(code == .connectionReset)
      }
      listener.close()
      try await served
    }
  }

  @Test(arguments: loopbacks)
  func `hazard 26: a socket is not connected before it is, whatever the loop reports`(address: SocketAddress)
    async throws
  {
    let listener = try await TcpListener.bind(address, backlog: 0)
    let target = try listener.localAddress
    let sockets = try (0..<6).map { _ in
      Descriptor(adopting: try Socket.stream(for: address.family, during: "test"))
    }
    // A fresh socket, and one whose connection the kernel has put off.
    for socket in sockets { #expect(try Socket.isConnected(socket.number, during: "test") == nil) }
    for socket in sockets { _ = try Socket.connect(socket.number, to: target, during: "test") }
    let connected = try sockets.map { try Socket.isConnected($0.number, during: "test") }
    #expect(connected.count { $0 == nil } >= 4)
  }

  @Test(arguments: loopbacks)
  func `hazard 26: a socket that is connected to itself is a connection like any other`(
    address: SocketAddress
  )
    async throws
  {
    try await onOneWorker { worker in
      let fd = try Socket.stream(for: address.family, during: "test")
      let bridge = BridgedFd(try AsyncRegistration(owning: fd))
      try Socket.bind(fd, to: address, during: "test")
      let own = try Socket.localAddress(fd, during: "test")
      if try Socket.connect(fd, to: own, during: "test") == false {
        bridge.clearReadiness(.writable)
        _ = try await bridge.asyncCall(.writable) { (fd) throws(IoError) in
          try Socket.isConnected(fd, during: "test")
        }
      }
      let copy = culvert_dup_cloexec(fd)
      await bridge.closed()
      let stream = try TcpStream(owning: copy, peer: own)
      #expect(try stream.localAddress == own)
      async let answer = stream.readAll()
      await worker.idle()
      try await stream.write("echo")
      try stream.shutdown()
      #expect(try await answer == Array("echo".utf8))
    }
  }

  // MARK: passing on

  /// A proxy, as a user of the library would write it: it passes on both ways, and each end for itself.
  private func relay(_ listener: TcpListener, to target: SocketAddress) async throws {
    @Sendable func pass(_ from: TcpStream, _ to: TcpStream) async throws {
      while let chunk = try await from.read(upTo: 65_536) { try await to.write(chunk) }
      try to.shutdown()
    }
    try await listener.serve { inner in
      let outer = try await TcpStream.connect(to: target)
      do {
        try await withThrowingDiscardingTaskGroup { group in
          group.addTask { try await pass(inner, outer) }
          group.addTask { try await pass(outer, inner) }
        }
      } catch {
        // One way is broken: so is the other.
        inner.reset()
        outer.reset()
      }
    }
  }

  enum Ending: CaseIterable, Sendable { case near, far, both, nearVanishes, farVanishes }

  @Test(arguments: Ending.allCases)
  func `hazard 30: through a proxy all arrives both ways, whoever ends first, and then nothing is left`(
    ending: Ending
  ) async throws {
    try await onOneWorker { worker in
      let target = try await TcpListener.bind(.loopback(port: 0))
      let listener = try await TcpListener.bind(.loopback(port: 0))
      async let served: Void = relay(listener, to: target.localAddress)
      let near = try await TcpStream.connect(to: listener.localAddress)
      let far = try await target.accept()

      @Sendable func send(_ from: TcpStream) async throws {
        try await from.write(much)  // more than is buffered on the way
        try from.shutdown()
      }
      @Sendable func check(_ to: TcpStream) async throws {
        let all = try await to.readAll()
        #expect(isSame(all, much))
      }
      switch ending {
      case .near, .far:
        let (first, last) = ending == .near ? (near, far) : (far, near)
        async let sent: Void = send(first)
        try await check(last)
        try await sent
        // Long after the one way has ended the other goes on.
        async let answered: Void = send(last)
        try await check(first)
        try await answered
      case .both:
        async let (one, two): (Void, Void) = (send(near), send(far))
        await worker.idle()  // the buffers are full both ways
        async let (three, four): (Void, Void) = (check(far), check(near))
        _ = try await (one, two, three, four)
      case .nearVanishes, .farVanishes:
        let (one, other) = ending == .nearVanishes ? (near, far) : (far, near)
        async let code = failure { try await send(other) }
        await worker.idle()
        one.close()  // with unread bytes: a reset
        #expect([.connectionReset, .brokenPipe].contains(await code))
      }
      for stream in [near, far] { await stream.closed() }
      for listener in [listener, target] { await listener.closed() }
      try await served
      // No socket is left half closed.
      await worker.idle { worker.driver.handle.registrationCount == 0 }
    }
  }

  @Test func `hazard 31: closing a stream whose peer takes nothing holds up nobody`() async throws {
    try await onOneWorker { worker in
      let (client, server) = try await TcpStream.loopbackPair()
      for stream in [client, server] {
        while try stream.tryWrite(much) != nil {}
        var linger = linger()
        var size = socklen_t(MemoryLayout.size(ofValue: linger))
        #expect(unsafe getsockopt(stream.fd, SOL_SOCKET, SO_LINGER, &linger, &size) == 0)
        #expect(linger.l_onoff == 0)
      }
      let start = MonotonicTime.now
      await client.closed()
      // A watchdog: a close that lingers takes seconds.
      #expect(MonotonicTime.now - start < 1_000_000_000)
    }
  }

  // MARK: spreading

  @Test func `hazard 38: thousands of connections are spread evenly over the workers`() async throws {
    try await withRuntime(workers: 4) { runtime in
      let listener = try await TcpListener.bind(.loopback(port: 0))
      let counts = Locked([0, 0, 0, 0])
      async let served: Void = listener.serve { stream in
        let index = try #require(Worker.current).index
        counts.withLock { $0[index] += 1 }
        _ = try await stream.read(upTo: 1)
      }
      let total = rounds(ci: 10_000, stress: 100_000)
      try await withThrowingDiscardingTaskGroup { group in
        for worker in runtime.workers {
          group.addTask(executorPreference: worker) {
            // Cut, or the ports would be taken for a minute.
            for _ in 0..<total / 4 { try await TcpStream.connect(to: listener.localAddress).cut() }
          }
        }
      }
      listener.close()
      try await served
      let each = counts.withLock { $0 }
      // What was cut before it was accepted may not have been.
      #expect(each.reduce(0, +) <= total && each[0] > total / 8)
      #expect(each[0] - each[3] <= 1 && each == each.sorted(by: >))
    }
  }

  @Test func `hazard 38: a worker that stalls keeps the connections that are its share, and no others`()
    async throws
  {
    try await withRuntime(workers: 3) { runtime in
      let listener = try await TcpListener.bind(.loopback(port: 0))
      let served = Tally()
      async let serving: Void = listener.serve { stream in
        try await stream.write([UInt8(try #require(Worker.current).index)])
        served.add()
      }
      // The first connection goes to worker 0, and so on.
      let stalled = Gate()
      let isHeld = Atomic(true)
      let stalling = Task(executorPreference: runtime.workers[1]) {
        stalled.open()
        while isHeld.load(ordering: .relaxed) { sched_yield() }
      }
      try await stalled.passed()
      var clients: [TcpStream] = []
      for _ in 0..<30 { clients.append(try await TcpStream.connect(to: listener.localAddress)) }
      try await served.reached(20)
      for worker in [runtime.workers[0], runtime.workers[2]] { await worker.idle() }
      #expect(served.value == 20)
      isHeld.store(false, ordering: .relaxed)
      await stalling.value
      var indexes: [UInt8] = []
      for client in clients { indexes += try await client.readAll() }
      #expect(indexes == (0..<30).map { $0 % 3 })
      listener.close()
      try await serving
    }
  }
}
