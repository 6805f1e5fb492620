// SPDX-License-Identifier: Apache-2.0
// Connecting to hosts: addresses that answer, refuse, or say nothing, none of them beyond this machine.
import CCulvert
import CulvertTesting
import Foundation
import Testing

@testable import Culvert

/// A listener whose backlog is full, so that whoever connects hears nothing.
private struct BlackHole: Sendable {
  let listener: TcpListener
  let filler: TcpStream
  let address: SocketAddress

  init(_ address: SocketAddress = .loopback(port: 0)) async throws(IoError) {
    listener = try await TcpListener.bind(address, backlog: 0)
    self.address = try listener.localAddress
    filler = try await TcpStream.connect(to: self.address)
    // Connected it is before the listener has it, and until then another one is answered.
    var filled = pollfd(fd: listener.fd, events: Int16(POLLIN), revents: 0)
    while unsafe poll(&filled, 1, -1) != 1 {}
  }
}

/// An address where nobody listens.
private func refusing(_ address: SocketAddress = .loopback(port: 0)) throws -> SocketAddress {
  try SocketAddress(host: address.host, port: Int(unusedPort()))
}

private let anHour = Duration.seconds(3600)

/// Connects to a host that has these addresses.
private func connect(
  to addresses: [SocketAddress], stagger: Duration,
  setUp: @escaping @Sendable (borrowing TcpSocket) throws(IoError) -> Void = { _ in }
) async throws(IoError) -> TcpStream {
  var race = ConnectRace(addresses, of: "host.test", stagger: stagger, setUp: setUp)
  return try await race.run()
}

@Suite(.timeLimit(watchdog)) struct ConnectHostTests {
  @Test(arguments: Place.allCases, loopbacks)
  func `a host is connected to by the addresses that its resolver knows`(
    place: Place, address: SocketAddress
  ) async throws {
    try await place.run {
      let listener = try await TcpListener.bind(address)
      let known = try listener.localAddress
      let table = TableResolver(table: ["host.test": [known]])
      let port = try #require(known.port)
      let client = try await TcpStream.connect(host: "host.test", port: port, resolver: table)
      let server = try await listener.accept()
      try await client.write("hello")
      #expect(try await server.readExactly(5) == Array("hello".utf8))
      #expect(client.peerAddress == known)
    }
  }

  @Test func `a host in text is a name or an address`() async throws {
    let listener = try await TcpListener.bind("127.0.0.1:0")
    let port = try #require(try listener.localAddress.port)
    for host in ["127.0.0.1", "localhost"] {
      let byText = try await TcpStream.connect(to: "\(host):\(port)")
      let byHost = try await TcpStream.connect(host: host, port: port, prefer: .v4Only)
      #expect(
        try await [listener.accept().peerAddress, listener.accept().peerAddress].allSatisfy {
          $0.host == "127.0.0.1"
        })
      for stream in [byText, byHost] { #expect(stream.peerAddress == .loopback(port: port)) }
    }
    for text in [
      "localhost", "localhost:", "localhost:080", "localhost:65536", ":80", "300.1.1.1:80", "[a]:80", "a\0:1",
    ] {
      let error = await thrown { try await TcpStream.connect(to: text) }
      #expect(error?.code == .malformed, "\(text)")
      #expect(error?.operation.contains(text.debugDescription) == true, "\(text)")
    }
    #expect(await failure { try await TcpStream.connect(to: "unix:/a:80") } == .unsupported)
  }

  @Test func `what can't be resolved is not connected to`() async {
    let table = TableResolver()
    let error = await thrown { try await TcpStream.connect(host: "nobody", port: 1, resolver: table) }
    #expect(error?.description == "resolve nobody: host not found")
    let empty = await thrown { try await TcpStream.connect(host: "", port: 1, resolver: table) }
    #expect(empty?.description == "resolve \"\" (empty): malformed")
  }

  // MARK: who comes first

  @Test(arguments: Place.allCases)
  func `the next address is tried as soon as one has failed`(place: Place) async throws {
    try await place.run {
      let listener = try await TcpListener.bind("127.0.0.1:0")
      let bad = [try refusing(), try refusing(.loopback6(port: 0)), try .unix(path: "/tmp/x")]
      // With an hour between attempts that nothing cuts short the test would not end.
      let client = try await connect(to: bad + [listener.localAddress], stagger: anHour)
      #expect(try client.peerAddress == listener.localAddress)
    }
  }

  @Test(arguments: Place.allCases, loopbacks)
  func `an address that does not answer is not waited for`(place: Place, address: SocketAddress) async throws
  {
    try await place.run {
      let hole = try await BlackHole(address)
      let listener = try await TcpListener.bind("127.0.0.1:0")
      let attempts = Tally()
      let start = MonotonicTime.now
      let client = try await connect(
        to: [hole.address, listener.localAddress], stagger: HappyEyeballs.stagger
      ) { _ in attempts.add() }
      #expect(MonotonicTime.now - start >= 250_000_000)
      #expect(try client.peerAddress == listener.localAddress && attempts.value == 2)
    }
  }

  @Test func `while an attempt has its time to itself, no other begins`() async throws {
    try await onOneWorker { worker in
      let hole = try await BlackHole()
      let listener = try await TcpListener.bind("127.0.0.1:0")
      let attempts = Tally()
      let task = Task(executorPreference: worker) {
        try await connect(to: [hole.address, listener.localAddress], stagger: anHour) { _ in attempts.add() }
      }
      try await attempts.reached(1)
      await worker.idle()
      #expect(attempts.value == 1)
      task.cancel()
      let error = await thrown { try await task.value }
      #expect(error?.code == .cancelled)
      #expect(error?.operation == "connect to host.test port \(hole.address.port ?? 0)")
    }
  }

  @Test func `the families take turns, and which comes first can be said`() async throws {
    let holes = [try await BlackHole(), try await BlackHole(), try await BlackHole(.loopback6(port: 0))]
    let addresses = holes.map(\.address)
    let log = Log()
    let task = Task {
      try await connect(to: AddressPreference.v6First.arrange(addresses), stagger: .milliseconds(1)) {
        (socket) throws(IoError) in log.add(try socket.localAddress.family)
      }
    }
    try await log.count.reached(3)
    task.cancel()
    #expect(await failure { try await task.value } == .cancelled)
    #expect(log.families == [.ipv6, .ipv4, .ipv4])
  }

  // MARK: the losers

  @Test(.disabled(if: isChaotic, aTryMayBlock))
  func `of several connections one is used, and all others are closed at once`() async throws {
    try await onOneWorker { worker in
      var listeners: [TcpListener] = []
      for host in 2...5 as ClosedRange<UInt8> {
        listeners.append(try await TcpListener.bind(.ipv4(127, 0, 0, host, port: 0)))
      }
      let addresses = try listeners.map { try $0.localAddress }
      let registrations = worker.driver.handle.registrationCount
      var others = 0
      for _ in 0..<20 {
        let client = try await connect(to: addresses, stagger: .zero)
        for listener in listeners {
          // Over the loopback interface a connection is in the backlog as soon as it is begun.
          guard let (fd, _) = try Socket.accept(listener.fd, during: "accept") else { continue }
          let server = try TcpStream(owning: fd, peer: .unnamed)
          if try listener.localAddress == client.peerAddress {
            try await client.write("x")
            #expect(try await server.read(upTo: 2) == [UInt8(ascii: "x")])
          } else {
            others += 1
            #expect(try await server.read(upTo: 1) == nil)
          }
          await server.closed()
        }
        await client.closed()
        await worker.idle()
        #expect(worker.driver.handle.registrationCount == registrations)
      }
      #expect(others > 0)
    }
  }

  @Test(arguments: [true, false])
  func `attempts that lose, or that nobody wants any more, leave nothing behind`(isCancelled: Bool)
    async throws
  {
    try await onOneWorker { worker in
      let (hole, hole6) = (try await BlackHole(), try await BlackHole(.loopback6(port: 0)))
      let listener = try await TcpListener.bind("127.0.0.1:0")
      let registrations = worker.driver.handle.registrationCount
      for _ in 0..<20 {
        let attempts = Tally()
        let addresses = [hole.address, hole6.address] + (isCancelled ? [] : [try listener.localAddress])
        let task = Task(executorPreference: worker) {
          try await connect(to: addresses, stagger: .microseconds(1)) { _ in attempts.add() }
        }
        if isCancelled {
          try await attempts.reached(2)
          task.cancel()
          #expect(await failure { try await task.value } == .cancelled)
        } else {
          await (try task.value).closed()
          #expect(attempts.value == 3)
        }
        await worker.idle()
        #expect(worker.driver.handle.registrationCount == registrations)
        #expect(worker.driver.handle.timers.count == 0)
      }
    }
  }

  @Test func `the end of the runtime ends the attempts`() async throws {
    let hole = try await BlackHole()
    let attempts = Tally()
    let runtime = try Runtime(Runtime.Configuration(workers: 1))
    let task = runtime.spawn {
      try await connect(to: [hole.address, hole.address], stagger: anHour) { _ in attempts.add() }
    }
    try await attempts.reached(1)
    await runtime.workers[0].idle()
    await runtime.shutDown()
    let error = await thrown { try await task.value }
    #expect(error?.code == .shutDown)
    #expect(error?.operation == "connect to host.test port \(hole.address.port ?? 0)")
  }

  // MARK: errors

  @Test(arguments: Place.allCases)
  func `if nobody answers the error lists each address with its reason`(place: Place) async throws {
    try await place.run {
      let (v4, v6) = (try refusing(), try refusing(.loopback6(port: 0)))
      let unix = try SocketAddress.unix(path: "/x")
      let error = await thrown { try await connect(to: [unix, v4, v6], stagger: anHour) }
      #expect(error?.code == .connectionRefused && error?.errno == ECONNREFUSED)
      #expect(
        error?.description == """
          connect to host.test port 0 (unix:/x with TCP: not supported; \(v4): connection refused; \
          \(v6): connection refused): connection refused
          """)
      let one = await thrown { try await connect(to: [v4], stagger: anHour) }
      #expect(one?.description == "connect to \(v4) for host.test: connection refused")
      let port = try #require(v4.port)
      let numeric = await thrown { try await TcpStream.connect(host: "127.0.0.1", port: port) }
      #expect(numeric?.description == "connect to \(v4): connection refused")
    }
  }

  @Test func `each attempt's socket is set up, and what can't be is that attempt's failure`() async throws {
    let listener = try await TcpListener.bind("127.0.0.1:0")
    let listener6 = try await TcpListener.bind("[::1]:0")
    let addresses = [try listener6.localAddress, try listener.localAddress]
    let setUp: ConnectRace.SetUp = { (socket) throws(IoError) in
      try socket.set(.keepAlive, to: true)
      try socket.bind(to: "127.0.0.9:0")
    }
    let client = try await connect(to: addresses, stagger: anHour, setUp: setUp)
    #expect(try await listener.accept().peerAddress.host == "127.0.0.9")
    #expect(try client.get(.keepAlive))
  }

  #if FaultInjection
    @Test(arguments: [
      (FaultScript.Call.connect, [ENETUNREACH, ECONNREFUSED], IoError.Code.connectionRefused),
      (.connect, [ENETUNREACH, EHOSTUNREACH], .unreachable), (.connect, [ENETUNREACH, ETIMEDOUT], .timedOut),
      (.connect, [ECONNREFUSED, ETIMEDOUT], .connectionRefused),
      (.socket, [EAFNOSUPPORT, EMFILE], .tooManyDescriptors),
      (.setsockopt, [ENOBUFS, ENOBUFS], .outOfMemory),
    ])
    func `the code is that of the first failure that tells something`(
      call: FaultScript.Call, errnos: [Int32], code: IoError.Code
    ) async throws {
      let addresses = [SocketAddress.loopback6(port: 1), .loopback(port: 1)]
      let script = FaultScript()
      for errno in errnos { script.add(.fail(errno), to: [call], times: 1) }
      let error = await script.run { await thrown { try await connect(to: addresses, stagger: anHour) } }
      #expect(error?.code == code && script.injected[call] == 2)
      for address in addresses { #expect(error?.operation.contains("\(address)") == true) }
    }
  #endif
}

/// The families of attempts, in their order.
private final class Log: Sendable {
  let count = Tally()
  private let state = Locked<[SocketAddress.Family]>([])
  var families: [SocketAddress.Family] { state.withLock { $0 } }

  func add(_ family: SocketAddress.Family) {
    state.withLock { $0.append(family) }
    count.add()
  }
}
