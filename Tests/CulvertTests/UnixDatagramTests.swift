// SPDX-License-Identifier: Apache-2.0
// Unix datagram sockets: names and files, receivers that are full or gone, real peers.
import CCulvert
import CulvertTesting
import Foundation
import TestTools
import Testing

@testable import Culvert

/// A receiver, and one who sends to it: by its address, or connected.
struct UnixDatagramPair: Sendable {
  let receiver: UnixDatagram
  let sender: UnixDatagram
  /// What the sender has to name.
  let target: SocketAddress?

  init(connected: Bool) async throws(IoError) {
    let address = try SocketAddress.unix(path: freshPath())
    receiver = try await UnixDatagram.bind(address)
    sender = try UnixDatagram.unbound()
    if connected { try sender.connect(to: address) }
    target = connected ? nil : address
  }

  /// Sends until the receiver takes no more; returns how many datagrams that were. Under no script: it would say
  /// "full" too early.
  func fill() throws(IoError) -> UInt8 {
    var count: UInt8 = 0
    while try isTaken(count) { count += 1 }
    return count
  }

  private func isTaken(_ number: UInt8) throws(IoError) -> Bool {
    #if FaultInjection
      return try Faults.$script.withValue(Faults.Script(seed: 0)) {
        Result { () throws(IoError) in try sender.trySend([number], to: target) }
      }.get()
    #else
      return try sender.trySend([number], to: target)
    #endif
  }

  /// The first bytes of the next datagrams.
  func receive(_ count: Int) async throws(IoError) -> [UInt8] {
    var all: [UInt8] = []
    for _ in 0..<count { all += try await receiver.receive(upTo: 1).bytes }
    return all
  }
}

@Suite(.timeLimit(watchdog)) struct UnixDatagramTests {
  @Test(arguments: Place.allCases, Platform.hasAbstractNames ? [false, true] : [false])
  func `messages of any size arrive whole and in order, and can be answered`(
    place: Place, isAbstract: Bool
  ) async throws {
    let name = freshPath()
    let address = try isAbstract ? SocketAddress.unix(abstract: name) : .unix(path: name)
    try await place.run {
      let server = try await UnixDatagram.bind(address)
      let home = try SocketAddress.unix(path: freshPath())
      let client = try await UnixDatagram.bind(home)
      let sizes = [0, 1, 511, 4096, 65_536, 200_000]
      for size in sizes {
        let sent = countingBytes(size)
        try await client.send(sent, to: address)
        let (bytes, datagram) = try await server.receive(upTo: 300_000)
        #expect(isSame(bytes, sent) && datagram.size == size && !datagram.isTruncated)
        #expect(datagram.sender == home)
        try await server.send([7], to: datagram.sender)
        #expect(try await client.receive(upTo: 1).datagram.sender == address)
      }
      #expect("\(server)" == "Unix datagram socket on \(address)")
      #expect(try server.localAddress == address)
      await server.closed()
      #expect(await failure { try await server.receive(upTo: 1) } == .closed)
    }
  }

  @Test func `who has no name can send, and a pair is connected with itself`() async throws {
    let pair = try await UnixDatagramPair(connected: false)
    try await pair.sender.send([1], to: pair.target)
    #expect(try await pair.receiver.receive(upTo: 1).datagram.sender == .unnamed)
    let (one, other) = try UnixDatagram.pair()
    for (from, to) in [(one, other), (other, one)] {
      try await from.send([2, 3])
      #expect(try await to.receive(upTo: 9).bytes == [2, 3])
      #expect(try from.peerAddress == .unnamed)
    }
    #expect(try pair.sender.peerAddress == nil)
  }

  @Test func `what does not fit is lost, and said to be`() async throws {
    let (one, other) = try UnixDatagram.pair()
    for room in [0, 1, 9, 10, 11] {
      try await one.send(Array("0123456789".utf8))
      let (bytes, datagram) = try await other.receive(upTo: room)
      #expect(bytes == Array("0123456789".utf8.prefix(room)) && datagram.isTruncated == (room < 10))
      #if os(Linux)
        #expect(datagram.size == 10)
      #endif
    }
    try await one.send([7])
    #expect(try await other.receive(upTo: 3).bytes == [7])
  }

  @Test func `a connected socket hears its peer only, and after disconnect everybody, under its name`()
    async throws
  {
    let addresses = try (0..<3).map { _ in try SocketAddress.unix(path: freshPath()) }
    let one = try await UnixDatagram.bind(addresses[0])
    let peer = try await UnixDatagram.bind(addresses[1])
    let stranger = try await UnixDatagram.bind(addresses[2])
    try one.connect(to: addresses[1])
    #expect(try one.peerAddress == addresses[1])
    #expect(await failure { try await stranger.send([1], to: addresses[0]) } == .permissionDenied)
    try await peer.send([2], to: addresses[0])
    #expect(try await one.receive(upTo: 1).bytes == [2])
    try one.disconnect()
    #expect(try one.peerAddress == nil && one.localAddress == addresses[0])
    try await stranger.send([3], to: addresses[0])
    #expect(try await one.receive(upTo: 1).datagram.sender == addresses[2])
  }

  @Test func `segments and batches arrive as the datagrams that they are`() async throws {
    let pair = try await UnixDatagramPair(connected: true)
    try await pair.sender.send(segments: [1, 1, 2, 2, 3], of: 2)
    let batch = try DatagramBatch(capacity: 3, size: 10)
    try batch.append([4])
    try batch.append([5, 5, 6, 6], segmentSize: 2)
    try batch.append([7])
    try await pair.sender.sendBatch(batch)
    #expect(batch.sent == 3)
    var got: [[UInt8]] = []
    while got.count < 7 {
      let count = try await pair.receiver.receiveBatch(into: batch)
      got += (0..<count).map { batch.bytes(of: $0) }
    }
    #expect(got == [[1, 1], [2, 2], [3], [4], [5, 5], [6, 6], [7]])
    #expect(try !pair.receiver.joinSegments(true))
  }

  @Test func `what can't be sent or made says why`() async throws {
    let tcp = SocketAddress.loopback(port: 1)
    let nobody = try SocketAddress.unix(path: freshPath())
    let socket = try UnixDatagram.unbound()
    #expect(await failure { try await UnixDatagram.bind(tcp) } == .unsupported)
    #expect(await failure { try await UnixDatagram.bind("unix:/no/such/folder") } == .notFound)
    #expect(await failure { try socket.connect(to: tcp) } == .unsupported)
    #expect(await failure { try socket.connect(to: nobody) } == .notFound)
    #expect(await failure { try await socket.send([1], to: tcp) } == .invalidArgument)
    #expect(await failure { try await socket.send([1]) } == .notConnected)
    let error = await thrown { try await socket.send([1], to: nobody) }
    #expect(error?.description == "send to \(nobody) on Unix datagram socket: not found")
    let pair = try await UnixDatagramPair(connected: true)
    try pair.sender.set(.sendBuffer, to: 10_000)
    let tooLong = [UInt8](repeating: 0, count: 30_000)
    #expect(await failure { try await pair.sender.send(tooLong) } == .messageTooLong)
    // A stream's address.
    let path = freshPath()
    let listener = try await UnixListener.bind("unix:\(path)")
    #expect(await thrown { try await socket.send([1], to: .unix(path: path)) }?.errno == EPROTOTYPE)
    listener.close()
  }

  // MARK: the file

  @Test func `the file has its mode, and goes with the socket`() async throws {
    let path = freshPath()
    let socket = try await UnixDatagram.bind("unix:\(path)", mode: 0o620)
    let attributes = try FileManager.default.attributesOfItem(atPath: path)
    #expect(attributes[.posixPermissions] as? Int == 0o620)
    #expect(await failure { try await UnixDatagram.bind("unix:\(path)") } == .addressInUse)
    #expect(await failure { try await UnixListener.bind("unix:\(path)") } == .addressInUse)
    socket.close()
    #expect(!exists(path))
    do { _ = try await UnixDatagram.bind("unix:\(path)") }
    #expect(!exists(path))
  }

  @Test func `a file that a socket left behind is replaced, and no other one`() async throws {
    for type in [culvert_sock_dgram(), culvert_sock_stream()] {
      let path = freshPath()
      try leaveSocketFile(at: path, type: type)
      let socket = try await UnixDatagram.bind("unix:\(path)")
      try await UnixDatagram.unbound().send([1], to: .unix(path: path))
      #expect(try await socket.receive(upTo: 1).bytes == [1])
      socket.close()
      #expect(!exists(path))
    }
    let path = freshPath()
    defer { unsafe unlink(path) }
    try Data("precious".utf8).write(to: URL(fileURLWithPath: path))
    #expect(await failure { try await UnixDatagram.bind("unix:\(path)") } == .addressInUse)
    #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == Data("precious".utf8))
  }

  // MARK: a receiver that is full, or gone

  @Test(arguments: [true, false])
  func `who sends to a full receiver waits without a spin, and loses nothing`(connected: Bool) async throws {
    try await onOneWorker { worker in
      let pair = try await UnixDatagramPair(connected: connected)
      let count = try pair.fill()
      let runtime = try #require(Runtime.current)
      let waiting = runtime.spawn { try await pair.sender.send([count], to: pair.target) }
      let given = runtime.spawn { try await pair.sender.send([99], to: pair.target) }
      #expect(try await turnsWhileIdle(worker) < aFewTurns)
      given.cancel()
      #expect(await failure { try await given.value } == .cancelled)
      #expect(try await pair.receive(Int(count)) == Array(0..<count))
      try await waiting.value
      #expect(try await pair.receive(1) == [count])
    }
  }

  @Test func `each datagram of many senders to one slow receiver arrives once, in its sender's order`()
    async throws
  {
    try await onOneWorker { _ in
      let address = try SocketAddress.unix(path: freshPath())
      let receiver = try await UnixDatagram.bind(address)
      try await withThrowingTaskGroup { group in
        for sender in 0..<4 as Range<UInt8> {
          group.addTask {
            let socket = try UnixDatagram.unbound()
            if sender % 2 == 0 { try socket.connect(to: address) }
            for number in 0..<50 as Range<UInt8> {
              try await socket.send([sender, number], to: sender % 2 == 0 ? nil : address)
            }
          }
        }
        var next: [UInt8] = [0, 0, 0, 0]
        for _ in 0..<200 {
          let bytes = try await receiver.receive(upTo: 2).bytes
          #expect(bytes[1] == next[Int(bytes[0])])
          next[Int(bytes[0])] += 1
          await Task.yield()
        }
        try await group.waitForAll()
      }
    }
  }

  @Test func `a pair waits while the sender's buffer is full`() async throws {
    try await onOneWorker { worker in
      let (one, other) = try UnixDatagram.pair()
      try one.set(.sendBuffer, to: 10_000)
      let message = [UInt8](repeating: 1, count: 1000)
      async let sent: Void = { for _ in 0..<100 { try await one.send(message) } }()
      #expect(try await turnsWhileIdle(worker) < aFewTurns)
      for _ in 0..<100 { #expect(try await other.receive(upTo: 2000).datagram.count == 1000) }
      try await sent
    }
  }

  @Test(arguments: [true, false])
  func `a receiver that goes while we wait for it is a refusal`(connected: Bool) async throws {
    try await onOneWorker { worker in
      let pair = try await UnixDatagramPair(connected: connected)
      _ = try pair.fill()
      async let waiting = failure { try await pair.sender.send([1], to: pair.target) }
      await worker.idle()
      pair.receiver.close()
      // By its address it is the file that is gone.
      #expect(await waiting == (connected ? .connectionRefused : .notFound))
      #expect(
        await failure { try await pair.sender.send([1], to: pair.target) }
          == (connected ? .notConnected : .notFound))
      let path = freshPath()
      try leaveSocketFile(at: path, type: culvert_sock_dgram())
      defer { unsafe unlink(path) }
      #expect(
        await failure { try await pair.sender.send([1], to: .unix(path: path)) } == .connectionRefused)
    }
  }

  // MARK: real peers

  private static let hasSocat = isInstalled("/usr/bin/socat") && Platform.hasAbstractNames

  @Test(.enabled(if: hasSocat, "there is no socat here"))
  func `socat's datagrams arrive, and it gets the answers`() async throws {
    let (path, home) = (freshPath(), freshPath())
    let socket = try await UnixDatagram.bind("unix:\(path)")
    async let answered: Void = {
      let (bytes, datagram) = try await socket.receive(upTo: 100)
      #expect(try bytes == Array("?".utf8) && datagram.sender == .unix(path: home))
      try await socket.send(Array("abc".utf8), to: datagram.sender)
    }()
    let (mine, theirs) = try UnixStream.pair()
    let socat = ["/usr/bin/socat", "-t", "600", "-", "UNIX-SENDTO:\(path),bind=\(home)"]
    let child = try Program(socat, input: theirs.fd, output: theirs.fd)
    defer {
      child.end()
      unsafe unlink(home)
    }
    theirs.close()
    // One byte: what is written in parts is several datagrams of socat's.
    try await mine.write("?")
    #expect(try await mine.readExactly(3) == Array("abc".utf8))
    try await answered
  }

  @Test(.enabled(if: hasSocat, "there is no socat here"))
  func `socat takes our datagrams, and its answers arrive`() async throws {
    let (path, home) = (freshPath(), freshPath())
    let socket = try await UnixDatagram.bind("unix:\(home)")
    let script = """
      socat -t 600 UNIX-RECVFROM:\(path) 'EXEC:tr a-z A-Z' &
      until grep -q "\(path)$" /proc/net/unix; do sleep 0.01; done
      echo $!
      wait
      """
    let (mine, theirs) = try UnixStream.pair()
    let child = try Program(["/bin/sh", "-c", script], input: theirs.fd, output: theirs.fd)
    theirs.close()
    let line = try #require(try await BufferedReader(mine).readLine())
    let socat = try #require(pid_t(line))
    defer { kill(socat, SIGKILL) }
    try await socket.send(Array("abc".utf8), to: .unix(path: path))
    let (bytes, datagram) = try await socket.receive(upTo: 10)
    #expect(try bytes == Array("ABC".utf8) && datagram.sender == .unix(path: path))
    kill(socat, SIGKILL)
    child.waitForEnd()
  }

  // MARK: faults

  #if FaultInjection
    @Test(arguments: [true, false])
    func `a receiver said to be full is tried again, and another fault is not`(connected: Bool) async throws {
      let pair = try await UnixDatagramPair(connected: connected)
      let script = FaultScript()
      script.add(.fail(EAGAIN), to: [.send], times: 5)
      try await script.run { try await pair.sender.send([1], to: pair.target) }
      #expect(script.injected[.send] == 5)
      #expect(try await pair.receive(1) == [1])
      script.add(.fail(ENOBUFS), to: [.send])
      let code = await failure {
        try await script.run { try await pair.sender.send([1], to: pair.target) }
      }
      #expect(code == .outOfMemory)
    }

    @Test func `a socket that fails half-way leaves no file`() async throws {
      let path = freshPath()
      let script = FaultScript()
      script.add(.fail(EPERM), to: [.chmod])
      let code = await failure {
        try await script.run { try await UnixDatagram.bind("unix:\(path)", mode: 0o600) }
      }
      #expect(code == .permissionDenied && !exists(path))
    }
  #endif
}
