// SPDX-License-Identifier: Apache-2.0
// Listening and connecting: what is refused and why, accepting, closing, and serving over the workers.
import CulvertTesting
import Testing

@testable import Culvert

@Suite(.timeLimit(watchdog)) struct TcpListenerTests {
  @Test(arguments: loopbacks)
  func `a port that is taken is refused by address`(address: SocketAddress) async throws {
    let first = try await TcpListener.bind(address)
    let taken = try first.localAddress
    let error = await thrown { try await TcpListener.bind(taken) }
    #expect(error?.code == .addressInUse)
    #expect(error?.description.contains("\(taken)") == true)
  }

  @Test(arguments: ["127.0.0.1:65536", "[::1]:65536", "127.0.0.1:-1", "127.0.0.1:99999999999999999999"])
  func `a port out of range in text is malformed, and quoted`(text: String) async {
    let bound = await thrown { try await TcpListener.bind(text) }
    let errors = [bound, await thrown { try await TcpStream.connect(to: text) }]
    #expect(errors.allSatisfy { $0?.code == .malformed && $0?.description.contains(text) == true })
  }

  @Test(arguments: ["127.0.0.1", "::1"], [-1, 65_536, Int.max, Int.min])
  func `a port out of range as a number is an invalid argument, and named`(host: String, port: Int) async {
    let error = await thrown { try SocketAddress(host: host, port: port) }
    #expect(error?.code == .invalidArgument)
    #expect(error?.description.contains("\(port)") == true)
  }

  @Test func `a Unix address is not for TCP`() async throws {
    let address = try SocketAddress.unix(path: "/tmp/culvert-no-such-socket")
    let bound = await thrown { try await TcpListener.bind(address) }
    let errors = [bound, await thrown { try await TcpStream.connect(to: address) }]
    #expect(errors.allSatisfy { $0?.code == .unsupported && $0?.description.contains("\(address)") == true })
  }

  @Test(arguments: ["203.0.113.1:0", "[2001:db8::1]:0"])
  func `an address of another machine can't be listened on`(text: String) async {
    let error = await thrown { try await TcpListener.bind(text) }
    #expect(error?.code == .addressNotAvailable)
    #expect(error?.description.contains(text) == true)
  }

  @Test(arguments: loopbacks)
  func `a connection is refused where nobody listens, by address`(address: SocketAddress) async throws {
    // Bound, so that nobody else gets the port; and not listening.
    let socket = Descriptor(adopting: try Socket.stream(for: address.family, during: "test"))
    try Socket.bind(socket.number, to: address, during: "test")
    let target = try Socket.localAddress(socket.number, during: "test")
    let error = await thrown { try await TcpStream.connect(to: target) }
    #expect(error?.code == .connectionRefused)
    #expect(error?.description == "connect to \(target): connection refused")
  }

  /// The kernel refuses TCP to broadcast and multicast addresses at once: nothing goes out.
  @Test(arguments: ["255.255.255.255:9", "224.0.0.1:9", "[ff02::1]:9"])
  func `an address that can't be reached is an error that names it`(text: String) async {
    let error = await thrown { try await TcpStream.connect(to: text) }
    #expect(error?.code == .unreachable)
    #expect(error?.operation == "connect to \(text)")
  }

  @Test(arguments: loopbacks)
  func `a cancelled connect throws, and its socket goes`(address: SocketAddress) async throws {
    try await onOneWorker { worker in
      // The kernel takes one or two, and no more.
      let listener = try await TcpListener.bind(address, backlog: 0)
      let target = try listener.localAddress
      await withTaskGroup(of: IoError.Code?.self) { group in
        for _ in 0..<6 { group.addTask { await failure { try await TcpStream.connect(to: target) } } }
        var codes = [await group.next()]
        group.cancelAll()
        for await code in group { codes.append(code) }
        #expect(codes.count { $0 == .cancelled } >= 3)
      }
      await worker.idle { worker.driver.handle.registrationCount == 0 }
    }
  }

  @Test(arguments: loopbacks)
  func `a closed listener accepts nothing, and may be closed again`(address: SocketAddress) async throws {
    let listener = try await TcpListener.bind(address)
    listener.close()
    listener.close()
    for _ in 0..<2 {
      await listener.closed()
      #expect(await failure { try await listener.accept() } == .closed)
      #expect(await failure { try listener.localAddress } == .closed)
      #expect(await failure { try listener.setTtl(3) } == .closed)
    }
  }

  @Test(arguments: Place.allCases, loopbacks)
  func `closing wakes everybody who accepts`(place: Place, address: SocketAddress) async throws {
    try await place.run {
      for round in 0..<50 {
        let listener = try await TcpListener.bind(address)
        await withTaskGroup(of: IoError.Code?.self) { group in
          for _ in 0..<3 { group.addTask { await failure { try await listener.accept() } } }
          for _ in 0..<round % 4 { await Task.yield() }
          listener.close()
          for await code in group { #expect(code == .closed) }
        }
      }
    }
  }

  /// In a process of its own: a connection of another test may be given the port while it is free, and a process that
  /// another test starts holds it between fork and exec.
  @Test func `once closed() has returned the port is free`() async {
    await #expect(processExitsWith: .success) {
      for place in Place.allCases {
        for address in loopbacks {
          try await place.run {
            var listener = try await TcpListener.bind(address)
            let fixed = try listener.localAddress
            for round in 0..<100 {
              let current = listener
              async let code = failure { try await current.accept() }
              for _ in 0..<round % 4 { await Task.yield() }
              await current.closed()
              listener = try await TcpListener.bind(fixed)
              #expect(await code == .closed)
            }
          }
        }
      }
    }
  }

  @Test func `a wait that comes after close registers nothing, and closed() returns`() async throws {
    try await onOneWorker { worker in
      let pair = try await Connection()
      let registered = worker.driver.handle.registrationCount
      var byte: [UInt8] = [0]
      #expect(try pair.server.tryRead(into: &byte) == nil)
      pair.server.close()
      #expect(await failure { try await pair.server.read(upTo: 1) } == .closed)
      await pair.server.closed()
      #expect(worker.driver.handle.registrationCount == registered)
    }
  }

  @Test func `closed() returns for a listener of an ended runtime`() async throws {
    let runtime = try Runtime(Runtime.Configuration(workers: 1))
    let ended = runtime.spawn {
      _ = await failure { try await sleep(for: .seconds(3600)) }
      let late = try await TcpListener.bind(.loopback(port: 0))
      #expect(await failure { try await late.accept() } == .shutDown)
      await late.closed()
    }
    await runtime.shutDown()
    try await ended.value
  }

  @Test(arguments: Place.allCases)
  func `a cancelled accept throws, and loses no connection`(place: Place) async throws {
    try await place.run {
      let listener = try await TcpListener.bind(.loopback(port: 0))
      for round in 0..<200 {
        let task = Task { try await listener.accept() }
        for _ in 0..<round % 4 { await Task.yield() }
        async let connected = TcpStream.connect(to: listener.localAddress)
        task.cancel()
        let early = await task.result
        if case .failure(let error) = early { #expect((error as? IoError)?.code == .cancelled) }
        let stream = if case .success(let stream) = early { stream } else { try await listener.accept() }
        #expect(try await connected.localAddress == stream.peerAddress)
      }
    }
  }

  @Test(arguments: loopbacks)
  func `connections come in order, and end when the listener is closed`(address: SocketAddress) async throws {
    let listener = try await TcpListener.bind(address)
    var clients: [TcpStream] = []
    for _ in 0..<5 { clients.append(try await TcpStream.connect(to: listener.localAddress)) }
    var peers: [SocketAddress] = []
    for try await stream in listener.connections {
      peers.append(stream.peerAddress)
      if peers.count == 5 { listener.close() }
    }
    #expect(try peers == clients.map { client throws(IoError) in try client.localAddress })
    for try await _ in listener.connections { Issue.record("a closed listener gave a connection") }
  }
}

@Suite(.timeLimit(watchdog)) struct ServeTests {
  private struct Refusal: Error {}

  /// Connections whose handlers have begun, and said so with one byte.
  private func greetedClients(_ count: Int, of listener: TcpListener) async throws -> [TcpStream] {
    var clients: [TcpStream] = []
    for _ in 0..<count {
      let client = try await TcpStream.connect(to: listener.localAddress)
      #expect(try await client.readExactly(1) == [1])
      clients.append(client)
    }
    return clients
  }

  @Test func `what a handler throws goes to onError, and its connection is closed`() async throws {
    let listener = try await TcpListener.bind(.loopback(port: 0))
    let failed = Locked<[TcpStream]>([])
    async let served: Void = listener.serve { error, stream in
      #expect(error is Refusal)
      failed.withLock { $0.append(stream) }
    } _: { stream in
      if try await stream.readExactly(1) == [1] { throw Refusal() }
      try await stream.write([7])
    }
    var bad: [SocketAddress] = []
    for number in 0..<20 as Range<UInt8> {
      let client = try await TcpStream.connect(to: listener.localAddress)
      if number % 2 == 1 { bad.append(try client.localAddress) }
      try await client.write([number % 2])
      #expect(try await client.readAll() == (number % 2 == 1 ? [] : [7]))
    }
    listener.close()
    try await served
    let streams = failed.withLock { $0 }
    #expect(streams.map(\.peerAddress) == bad)
    for stream in streams { #expect(await failure { try await stream.write("x") } == .closed) }
  }

  @Test(arguments: Place.allCases)
  func `after close serve returns only when its handlers have ended`(place: Place) async throws {
    try await place.run {
      let listener = try await TcpListener.bind(.loopback(port: 0))
      let ended = Tally()
      try await withThrowingTaskGroup { group in
        group.addTask {
          try await listener.serve { stream in
            try await stream.write([1])
            _ = try await stream.readAll()
            ended.add()
          }
          #expect(ended.value == 5)
        }
        let clients = try await greetedClients(5, of: listener)
        await listener.closed()
        for client in clients { try client.shutdown() }
        try await group.waitForAll()
      }
    }
  }

  @Test(arguments: Place.allCases)
  func `cancelling serve cancels its handlers and waits for their end`(place: Place) async throws {
    try await place.run {
      let listener = try await TcpListener.bind(.loopback(port: 0))
      let ended = Tally()
      try await withThrowingTaskGroup { group in
        group.addTask {
          let code = await failure {
            try await listener.serve { stream in
              try await stream.write([1])
              #expect(await failure { try await stream.read(upTo: 1) } == .cancelled)
              ended.add()
            }
          }
          #expect(code == .cancelled && ended.value == 5)
        }
        let clients = try await greetedClients(5, of: listener)
        group.cancelAll()
        try await group.waitForAll()
        for client in clients { #expect(try await client.readAll().isEmpty) }
      }
    }
  }

  @Test func `connections are spread evenly over the workers, and handled on them`() async throws {
    try await withRuntime(workers: 4) { runtime in
      let listener = try await TcpListener.bind(.loopback(port: 0))
      let counts = Locked<[Int: Int]>([:])
      async let served: Void = listener.serve { stream in
        let worker = try #require(Worker.current)
        #expect(runtime.workers[worker.index] === worker)
        counts.withLock { $0[worker.index, default: 0] += 1 }
        try await stream.write([1])
        _ = try await stream.readAll()
        #expect(Worker.current === worker)
      }
      for client in try await greetedClients(100, of: listener) { client.close() }
      listener.close()
      try await served
      #expect(counts.withLock { $0 } == [0: 25, 1: 25, 2: 25, 3: 25])
    }
  }
}
