// SPDX-License-Identifier: Apache-2.0
// One UDP socket: each way to send and to receive, peers, what arrives with a datagram, cancellation, its end.
import CCulvert
import CulvertTesting
import TestTools
import Testing

@testable import Culvert

/// Two UDP sockets that are not connected.
struct UdpPair: Sendable {
  let one: UdpSocket
  let other: UdpSocket

  init(_ address: SocketAddress = .loopback(port: 0)) async throws(IoError) {
    one = try await UdpSocket.bind(address)
    other = try await UdpSocket.bind(address)
  }

  /// Connects each with the other.
  func connected() throws(IoError) -> UdpPair {
    try one.connect(to: other.localAddress)
    try other.connect(to: one.localAddress)
    return self
  }
}

@Suite(.timeLimit(watchdog)) struct UdpTests {
  @Test(arguments: Place.allCases, loopbacks)
  func `datagrams of any size arrive whole, and each tells its sender`(place: Place, address: SocketAddress)
    async throws
  {
    try await place.run {
      let pair = try await UdpPair(address)
      let (target, sender) = (try pair.other.localAddress, try pair.one.localAddress)
      for size in [0, 1, 2, 511, 512, 1472, 1473, 9000, 65_506, 65_507] {
        let sent = countingBytes(size)
        try await pair.one.send(sent, to: target)
        let (bytes, datagram) = try await pair.other.receive(upTo: 65_535)
        #expect(isSame(bytes, sent))
        #expect(datagram.count == size && datagram.size == size && !datagram.isTruncated)
        #expect(datagram.sender == sender && datagram.destination == nil && datagram.segmentSize == nil)
      }
      let tooLong = [UInt8](repeating: 0, count: 65_536)
      #expect(await failure { try await pair.one.send(tooLong, to: target) } == .messageTooLong)
    }
  }

  @Test func `each way to send and to receive`() async throws {
    let pair = try await UdpPair().connected()
    try await pair.one.send(Array("array".utf8))
    try await pair.one.send(Array("xslicex".utf8)[1..<6])
    let text = Array("span".utf8)
    try await pair.one.send(text.span)
    try await pair.one.send(unsafe text.span.bytes)
    #expect(try await pair.other.receive(upTo: 9).bytes == Array("array".utf8))
    var array = [UInt8](repeating: 0, count: 6)
    let datagram = try await pair.other.receive(into: &array)
    #expect(datagram.count == 5 && array == Array("slice\0".utf8))
    var span = array.mutableSpan
    var mutable = unsafe span.mutableBytes
    #expect(try await pair.other.receive(into: &mutable).count == 4)
    #expect(array == Array("spane\0".utf8))
    let room = UnsafeMutableRawBufferPointer.allocate(byteCount: 5, alignment: 1)
    defer { unsafe room.deallocate() }
    var output = unsafe OutputRawSpan(buffer: room, initializedCount: 0)
    output.append(UInt8(ascii: "_"))
    #expect(try await pair.other.receive(into: &output).count == 4)
    #expect(unsafe output.finalize(for: room) == 5)
    #expect(unsafe Array(room) == Array("_span".utf8))
  }

  @Test func `what does not fit is lost, and said to be`() async throws {
    let pair = try await UdpPair().connected()
    for room in [0, 1, 9, 10, 11] {
      try await pair.one.send(Array("0123456789".utf8))
      var peeked = [UInt8](repeating: 0, count: room)
      for datagram in [try await pair.other.peek(into: &peeked), try await pair.other.receive(into: &peeked)]
      {
        #expect(datagram.count == min(room, 10) && datagram.isTruncated == (room < 10))
        #if os(Linux)
          #expect(datagram.size == 10)
        #endif
        #expect(peeked.prefix(10) == ArraySlice("0123456789".utf8).prefix(room))
      }
    }
    try await pair.one.send([7])
    #expect(try await pair.other.receive(upTo: 3).bytes == [7])
  }

  @Test(.disabled(if: isChaotic, aTryMayBlock), arguments: Place.allCases)
  func `what would wait is nil to tryReceive, until readable() or a peek returns`(place: Place) async throws {
    try await place.run {
      let pair = try await UdpPair().connected()
      var buffer: [UInt8] = [0, 0]
      for round in 0..<20 {
        #expect(try pair.other.tryReceive(into: &buffer) == nil)
        async let ready = {
          if round % 2 == 0 { return try await pair.other.readable() }
          var peeked: [UInt8] = [0]
          #expect(try await pair.other.peek(into: &peeked).count == 1 && peeked == [9])
        }()
        #expect(try pair.one.trySend([9]))
        try await ready
        #expect(try pair.other.tryReceive(into: &buffer)?.count == 1 && buffer[0] == 9)
        try await pair.one.writable()
      }
    }
  }

  @Test(arguments: loopbacks)
  func `a connected socket hears its peer only, and after disconnect everybody, on its port`(
    address: SocketAddress
  ) async throws {
    let pair = try await UdpPair(address)
    let stranger = try await UdpSocket.bind(address)
    let home = try pair.one.localAddress
    #expect(try pair.one.peerAddress == nil)
    #expect(await failure { try await pair.one.send([1]) } == .notConnected)
    for _ in 0..<2 {
      try pair.one.connect(to: pair.other.localAddress)
      #expect(try pair.one.peerAddress == pair.other.localAddress)
      try await stranger.send([1], to: home)
      try await pair.other.send([2], to: home)
      #expect(try await pair.one.receive(upTo: 1).bytes == [2])
      try pair.one.disconnect()
      #expect(try pair.one.peerAddress == nil)
      #expect(try pair.one.localAddress == home)
      try await stranger.send([3], to: home)
      #expect(try await pair.one.receive(upTo: 1).datagram.sender == stranger.localAddress)
    }
  }

  @Test func `broadcast is refused without the option`() async throws {
    let socket = try await UdpSocket.bind("0.0.0.0:0")
    let everybody = try SocketAddress("127.255.255.255:9")
    #expect(await failure { try await socket.send([1], to: everybody) } == .permissionDenied)
    try socket.set(.broadcast, to: true)
    #expect(await failure { try await socket.send([1], to: everybody) } == nil)
  }

  @Test func `a socket that can't be made says why`() async throws {
    let taken = try await UdpSocket.bind("127.0.0.1:0")
    let address = try taken.localAddress
    #expect(await failure { try await UdpSocket.bind(address) } == .addressInUse)
    #expect(await failure { try await UdpSocket.bind("unix:/tmp/x") } == .unsupported)
    #expect(await failure { try await UdpSocket.bind("127.0.0.1") } == .malformed)
    #expect(await failure { try await UdpSocket.bind("192.0.2.1:0") } == .addressNotAvailable)
    let error = await thrown { try await taken.send([1], to: SocketAddress("[::1]:9")) }
    #expect(error?.description.contains("send to [::1]:9 on UDP socket on \(address)") == true)
  }

  @Test(arguments: loopbacks)
  func `with reportArrival a datagram tells where it was sent to, by what, and its traffic class`(
    address: SocketAddress
  ) async throws {
    let pair = try await UdpPair(address).connected()
    try pair.other.reportArrival(true)
    try pair.one.set(.trafficClass, to: 0x2A)
    var buffer: [UInt8] = [0]
    try await pair.one.send([5])
    let datagram = try await pair.other.receive(into: &buffer)
    #expect(buffer == [5] && datagram.count == 1 && datagram.size == 1)
    #expect(datagram.destination?.host == address.host && datagram.destination?.port == 0)
    #expect(datagram.interface == Int(try NetworkInterface.address(address).index(during: "test")))
    #expect(datagram.trafficClass == 0x2A && datagram.ecn == 2)
    #expect(try datagram.sender == pair.one.localAddress)
  }

  #if os(Linux)
    @Test func `what found no room in the receive buffer is counted`() async throws {
      let pair = try await UdpPair().connected()
      #expect(try pair.other.drops == 0)
      try pair.other.set(.receiveBuffer, to: 4096)
      for number in 0..<100 as Range<UInt8> {
        try await pair.one.send([number] + [UInt8](repeating: 0, count: 999))
      }
      let dropped = try #require(try pair.other.drops)
      #expect((1..<100).contains(dropped))
      for number in 0..<100 - dropped {
        #expect(try await pair.other.receive(upTo: 1).bytes == [UInt8(number)])
      }
    }
  #endif
}

@Suite(.timeLimit(watchdog)) struct UdpTaskTests {
  @Test(arguments: Place.allCases)
  func `a cancelled receive throws, and no datagram is lost or doubled`(place: Place) async throws {
    try await place.run {
      let pair = try await UdpPair().connected()
      var got: [UInt8] = []
      for value in 0..<250 as Range<UInt8> {
        let task = Task { try await pair.other.receive(upTo: 3).bytes }
        for _ in 0..<value % 4 { await Task.yield() }
        async let sent: Void = pair.one.send([value])
        task.cancel()
        switch await task.result {
        case .success(let bytes): got += bytes
        case .failure(let error): #expect((error as? IoError)?.code == .cancelled)
        }
        try await sent
      }
      while got.count < 250 { got += try await pair.other.receive(upTo: 3).bytes }
      #expect(got == (0..<250).map { UInt8($0) })
    }
  }

  @Test func `a socket is used from everywhere at once, and each datagram arrives once`() async throws {
    let pair = try await UdpPair().connected()
    let got = Locked<[UInt8]>([])
    let received = Tally()
    let receiveAll = { @Sendable () async throws -> Void in
      for try await (bytes, _) in pair.other.datagrams(upTo: 10) {
        got.withLock { $0 += bytes }
        received.add()
      }
    }
    try await withThrowingTaskGroup { group in
      for place in Place.allCases + Place.allCases {
        group.addTask(executorPreference: globalConcurrentExecutor) {
          try await place.run(receiveAll)
        }
      }
      // In portions that the receive buffer has room for.
      for portion in 0..<10 {
        for value in 0..<25 { try await pair.one.send([UInt8(portion * 25 + value)]) }
        try await received.reached((portion + 1) * 25)
      }
      pair.other.close()
      try await group.waitForAll()
    }
    #expect(got.withLock { $0 }.sorted() == (0..<250).map { UInt8($0) })
  }

  @Test(arguments: Place.allCases)
  func `closing wakes whoever receives or waits`(place: Place) async throws {
    try await place.run {
      for round in 0..<10 {
        let socket = try await UdpSocket.bind("127.0.0.1:0")
        await withTaskGroup(of: IoError.Code?.self) { group in
          group.addTask { await failure { try await socket.receive(upTo: 1) } }
          group.addTask { await failure { try await socket.readable() } }
          group.addTask {
            await failure { try await socket.receiveBatch(into: DatagramBatch(capacity: 2, size: 9)) }
          }
          for _ in 0..<round { await Task.yield() }
          socket.close()
          for await code in group { #expect(code == .closed) }
        }
        await socket.closed()
        #expect(await failure { try await socket.send([1], to: .loopback(port: 9)) } == .closed)
        #expect(await failure { try socket.connect(to: "127.0.0.1:9") } == .closed)
        #expect(await failure { try socket.drops } == .closed)
        for try await _ in socket.datagrams() { Issue.record("a datagram of a closed socket") }
      }
    }
  }

  @Test(.enabled(if: isInstalled("/usr/bin/socat"), "there is no socat here"))
  func `socat's datagrams arrive, and it gets the answers`() async throws {
    let socket = try await UdpSocket.bind("127.0.0.1:0")
    let (mine, theirs) = try UnixStream.pair()
    let command = ["/usr/bin/socat", "-t5", "-", "UDP4:\(try socket.localAddress)"]
    let socat = try Program(command, input: theirs.fd, output: theirs.fd)
    defer { socat.end() }
    theirs.close()
    try await mine.write("question")
    let (first, datagram) = try await socket.receive(upTo: 100)
    var bytes = first
    // Of a write in parts each is a datagram.
    while bytes.count < 8 { bytes += try await socket.receive(upTo: 100).bytes }
    #expect(bytes == Array("question".utf8))
    try await socket.send(Array("answer".utf8), to: datagram.sender)
    #expect(try await mine.readExactly(6) == Array("answer".utf8))
  }
}
