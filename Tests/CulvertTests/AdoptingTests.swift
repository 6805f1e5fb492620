// SPDX-License-Identifier: Apache-2.0
// Sockets that come from elsewhere and go elsewhere: taken over, given away, inherited from a supervisor.
import CCulvert
import CulvertTesting
import Foundation
import Testing

@testable import Culvert

@Suite(.timeLimit(watchdog)) struct AdoptingTests {
  /// A descriptor of each kind of socket, and of something else.
  enum Kind: CaseIterable {
    case tcp, tcpListener, udp, unixStream, unixListener, unixDatagram, pipe

    func make() async throws -> Int32 {
      switch self {
      case .tcp:
        let (client, server) = try await TcpStream.loopbackPair()
        _ = try await server.releaseFd().take()  // left open, so that the connection lives
        return try await client.releaseFd().take()
      case .tcpListener: return try await TcpListener.bind("127.0.0.1:0").releaseFd().take()
      case .udp: return try await UdpSocket.bind("127.0.0.1:0").releaseFd().take()
      case .unixStream: return try socketPair().0
      case .unixListener: return try await UnixListener.bind("unix:\(freshPath())").releaseFd().take()
      case .unixDatagram: return try await UnixDatagram.bind("unix:\(freshPath())").releaseFd().take()
      case .pipe: return try pipeEnds().reading
      }
    }

    /// Takes it over as this kind.
    func adopt(_ fd: Int32) throws(IoError) -> NetSocket {
      switch self {
      case .tcp: try TcpStream(adopting: fd)
      case .tcpListener: try TcpListener(adopting: fd)
      case .udp: try UdpSocket(adopting: fd)
      case .unixStream: try UnixStream(adopting: fd)
      case .unixListener: try UnixListener(adopting: fd)
      case .unixDatagram, .pipe: try UnixDatagram(adopting: fd)
      }
    }

    /// Takes it over as this kind, and closes it if that fails.
    func adoptOwned(_ fd: Int32) throws(IoError) -> NetSocket {
      switch self {
      case .tcp: try TcpStream(adopting: OwnedFd(adopting: fd))
      case .tcpListener: try TcpListener(adopting: OwnedFd(adopting: fd))
      case .udp: try UdpSocket(adopting: OwnedFd(adopting: fd))
      case .unixStream: try UnixStream(adopting: OwnedFd(adopting: fd))
      case .unixListener: try UnixListener(adopting: OwnedFd(adopting: fd))
      case .unixDatagram, .pipe: try UnixDatagram(adopting: OwnedFd(adopting: fd))
      }
    }
  }

  @Test(arguments: Kind.allCases)
  func `each kind of socket is taken over as what it is, and as nothing else`(kind: Kind) async throws {
    let fd = try await kind.make()
    _ = culvert_set_nonblocking(fd, false)
    #expect(fcntl(fd, F_SETFD, 0) == 0)
    for other in Kind.allCases where other != kind && !(kind == .pipe && other == .unixDatagram) {
      guard other != .pipe else { continue }
      let error = await thrown { try other.adopt(fd) }
      #expect(error?.code == (kind == .pipe ? .unsupported : .invalidArgument), "\(other)")
      if kind != .pipe { #expect(error?.operation.contains("but it is a") == true) }
      #expect(culvert_is_open(fd))
    }
    if kind == .pipe {
      close(fd)
      return
    }
    let socket = try kind.adopt(fd)
    #expect(culvert_is_nonblocking(fd) && fcntl(fd, F_GETFD) & FD_CLOEXEC != 0)
    #expect(await failure { try kind.adopt(fd) } == .alreadyRegistered)
    let again = try await socket.releaseFd().take()
    #expect(again == fd && culvert_is_open(fd))
    let owned = try kind.adoptOwned(fd)
    #expect(owned.fd == fd)
    await owned.closed()
  }

  @Test func `what is owned and can't be taken over is closed`() async throws {
    await #expect(processExitsWith: .success) {
      let (reading, writing) = try pipeEnds()
      for kind in Kind.allCases {
        // A number that nobody else is given.
        let fd = dup2(reading, Int32(descriptorLimit - 30))
        #expect(await failure { try kind.adoptOwned(fd) } == .unsupported)
        #expect(!culvert_is_open(fd))
      }
      close(writing)
      #expect(await failure { try TcpStream(adopting: Int32(descriptorLimit - 31)) } == .badDescriptor)
      let socket = culvert_socket(AF_INET, culvert_sock_stream())
      #expect(await failure { try TcpStream(adopting: socket) } == .notConnected)
      #expect(culvert_is_open(socket))
    }
  }

  @Test func `adopted sockets do what others do`() async throws {
    let listener = try TcpListener(adopting: try await Kind.tcpListener.make())
    let address = try listener.localAddress
    #expect("\(listener)" == "listener on \(address)")
    let stream = try await TcpStream.connect(to: address)
    let client = try TcpStream(adopting: try await stream.releaseFd())
    #expect(try client.peerAddress == address && client.noDelay)
    try await client.write("hello")
    #expect(try await listener.accept().readExactly(5) == Array("hello".utf8))
    let udp = try UdpSocket(adopting: try await Kind.udp.make())
    try await udp.send([1], to: udp.localAddress)
    #expect(try await udp.receive(upTo: 1).bytes == [1])
  }

  @Test(arguments: Place.allCases)
  func `who gives a socket away wakes those who wait, and what comes after is closed`(place: Place)
    async throws
  {
    try await place.run {
      for round in 0..<20 {
        let (client, server) = try await TcpStream.loopbackPair()
        async let waiting = failure { try await client.read(upTo: 1) }
        for _ in 0..<round % 4 { await Task.yield() }
        let fd = try await client.releaseFd()
        #expect(await waiting == .closed)
        #expect(await failure { try await client.write("x") } == .closed)
        #expect(await failure { _ = try await client.releaseFd() } == .closed)
        client.close()
        // The connection is as it was.
        let again = try TcpStream(adopting: fd)
        try await server.write("a")
        #expect(try await again.read(upTo: 1) == [UInt8(ascii: "a")])
        try await again.write("b")
        #expect(try await server.read(upTo: 1) == [UInt8(ascii: "b")])
      }
    }
  }

  @Test func `a release that is cancelled still gives the descriptor`() async throws {
    try await onOneWorker { worker in
      func highPair() async throws -> (TcpStream, TcpStream) {
        let (client, server) = try await TcpStream.loopbackPair()
        return (try TcpStream(adopting: try raise(try await client.releaseFd().take(), to: 53)), server)
      }
      // The loop keeps the handle of this one, and lets go of the next with that number only at the end of its turn.
      let (before, peer) = try await highPair()
      async let waitingBefore = failure { try await before.read(upTo: 1) }
      await worker.idle()
      await before.closed()
      #expect(await waitingBefore == .closed)
      peer.close()
      let (client, server) = try await highPair()
      async let waiting = failure { try await client.read(upTo: 1) }
      await worker.idle()
      // On the worker, whose loop can't turn before this has gone on.
      let release = Task(executorPreference: worker) {
        await untilCancelled()
        return try await client.releaseFd().take()
      }
      release.cancel()
      let again = try TcpStream(adopting: try await release.value)
      #expect(await waiting == .closed)
      try await server.write("a")
      #expect(try await again.read(upTo: 1) == [UInt8(ascii: "a")])
      #expect(worker.driver.handle.registrationCount <= 2)
    }
  }

  @Test func `the file of a Unix socket that is given away stays`() async throws {
    let (path, other) = (freshPath(), freshPath())
    defer {
      unsafe unlink(path)
      unsafe unlink(other)
    }
    do {
      let listener = try UnixListener(
        adopting: try await UnixListener.bind("unix:\(path)").releaseFd())
      _ = try await UnixStream.connect(to: "unix:\(path)")
      _ = try await listener.accept()
      let socket = try UnixDatagram(adopting: try await UnixDatagram.bind("unix:\(other)").releaseFd())
      try await socket.send([1], to: .unix(path: other))
      #expect(try await socket.receive(upTo: 1).bytes == [1])
    }
    #expect(exists(path) && exists(other))
  }

  // MARK: inherited descriptors

  @Test func `what a supervisor says is read, and what it can't mean is malformed`() throws {
    func parse(_ pid: String?, _ count: String?, _ names: String? = nil) throws(IoError) -> [String] {
      try InheritedDescriptors.parse(pid: pid, count: count, names: names, process: 7, from: 3)
        .map { "\($0.fd) \($0.name)" }
    }
    #expect(try parse(nil, nil) == [] && parse("7", nil) == [] && parse(nil, "1") == [])
    #expect(try parse("8", "1") == [] && parse("7", "0") == [])
    #expect(try parse("7", "2") == ["3 unknown", "4 unknown"])
    #expect(try parse("7", "3", "a::b") == ["3 a", "4 ", "5 b"])
    let wrong: [(String, String, String?)] = [
      ("x", "1", nil), ("", "1", nil), ("-7", "1", nil), ("7", "-1", nil), ("7", "many", nil), ("7", "", nil),
      ("7", "9999999999", nil), ("7", "2147483647", nil), ("7", "2", "a"), ("7", "1", "a:b"),
    ]
    for (pid, count, names) in wrong {
      #expect(throws: IoError.self, "\(pid) \(count)") { try parse(pid, count, names) }
    }
    let error = #expect(throws: IoError.self) { try parse("7", "1", "a:b") }
    #expect(error?.description == "read LISTEN_FDNAMES=\"a:b\": malformed")
  }

  @Test func `a listener that a supervisor holds is taken over by its name, once`() async {
    await #expect(processExitsWith: .success) {
      let web = try await Kind.tcpListener.make()
      let log = try await Kind.unixDatagram.make()
      // Not 3 and 4, which are in use here. (The echo server's tests have those.)
      for (fd, number) in [(web, 903), (log, 904)] as [(Int32, Int32)] { #expect(dup2(fd, number) == number) }
      unsafe setenv("LISTEN_PID", "\(getpid())", 1)
      unsafe setenv("LISTEN_FDS", "2", 1)
      unsafe setenv("LISTEN_FDNAMES", "web:log", 1)
      do {
        var inherited = try InheritedDescriptors.take(from: 903)
        #expect(unsafe getenv("LISTEN_FDS") == nil && getenv("LISTEN_PID") == nil)
        #expect(inherited.names == ["web", "log"] && fcntl(903, F_GETFD) & FD_CLOEXEC != 0)
        let again = try InheritedDescriptors.take(from: 903).names
        #expect(again == [])
        guard let log = inherited.next(named: "log") else { exit(1) }
        let socket = try UnixDatagram(adopting: log)
        try await socket.send([1], to: socket.localAddress)
        #expect(try await socket.receive(upTo: 1).bytes == [1])
        let isThere = inherited.next(named: "log") != nil
        #expect(!isThere && inherited.names == ["web"])
        guard let web = inherited.next() else { exit(1) }
        let listener = try TcpListener(adopting: web)
        let client = try await TcpStream.connect(to: listener.localAddress)
        try await client.write("x")
        #expect(try await listener.accept().read(upTo: 1) == [UInt8(ascii: "x")])
      }
    }
  }
}
