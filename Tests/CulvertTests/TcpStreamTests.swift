// SPDX-License-Identifier: Apache-2.0
// One connection: each way to read and to write, waiting, its end by either side, cancellation.
import CCulvert
import CulvertTesting
import Testing

@testable import Culvert

@Suite(.timeLimit(watchdog)) struct TcpReadTests {
  @Test(.disabled(if: isChaotic, aTryMayBlock), arguments: loopbacks)
  func `each way to read gives what has arrived, then the end`(address: SocketAddress) async throws {
    let pair = try await Connection(address)
    try await pair.client.write("abcdefghij")
    try pair.client.shutdown()
    let reader = pair.server
    var (array, none) = ([UInt8](repeating: 0, count: 2), [UInt8]())
    #expect(try await reader.read(upTo: 2) == Array("ab".utf8))
    #expect(try await reader.read(into: &array) == 2 && array == Array("cd".utf8))
    var span = array.mutableSpan
    var mutable = unsafe span.mutableBytes
    #expect(try await reader.read(into: &mutable) == 2)
    #expect(array == Array("ef".utf8))
    let room = UnsafeMutableRawBufferPointer.allocate(byteCount: 3, alignment: 1)
    defer { unsafe room.deallocate() }
    var output = unsafe OutputRawSpan(buffer: room, initializedCount: 0)
    output.append(UInt8(ascii: "_"))
    #expect(try await reader.read(into: &output) == 2)
    #expect(try await reader.read(into: &output) == 0)
    #expect(unsafe output.finalize(for: room) == 3)
    #expect(unsafe Array(room) == Array("_gh".utf8))
    // No room reads nothing; more than is needed is left alone.
    #expect(try await [reader.read(into: &none), reader.peek(into: &none)] == [0, 0])
    #expect(try reader.tryRead(into: &none) == 0)
    #expect(try await [reader.read(upTo: 0), reader.read(upTo: -1)] == [[], []])
    array = [1, 2, 3]
    #expect(try await reader.peek(into: &array) == 2 && array == Array("ij\u{3}".utf8))
    #expect(try await reader.read(into: &array) == 2 && array == Array("ij\u{3}".utf8))
    for _ in 0..<2 {
      #expect(try await reader.read(upTo: 10) == nil)
      #expect(try await reader.read(into: &array) == 0)
      #expect(try await reader.peek(into: &array) == 0)
      #expect(try reader.tryRead(into: &array) == 0)
    }
  }

  @Test(.disabled(if: isChaotic, aTryMayBlock), arguments: Place.allCases)
  func `what would wait is nil to tryRead, until readable() or a peek returns`(place: Place) async throws {
    try await place.run {
      let pair = try await Connection()
      var buffer = [UInt8](repeating: 0, count: 4)
      for round in 0..<20 {
        #expect(try pair.server.tryRead(into: &buffer) == nil)
        async let ready = {
          if round % 2 == 0 { return try await pair.server.readable() }
          var peeked: [UInt8] = [0, 0]
          #expect(try await pair.server.peek(into: &peeked) == 1 && peeked == [9, 0])
        }()
        try await pair.client.write([9])
        try await ready
        #expect(try pair.server.tryRead(into: &buffer) == 1 && buffer[0] == 9)
      }
    }
  }

  @Test func `a silent connection is writable, and readable only when something comes`() async throws {
    try await onOneWorker { worker in
      let pair = try await Connection()
      let events = Tally()
      try await withThrowingTaskGroup { group in
        for stream in [pair.client, pair.server] {
          try await stream.writable()
          group.addTask {
            try await stream.readable()
            events.add()
          }
        }
        await worker.idle()
        #expect(events.value == 0)
        try await pair.client.write("a")
        try await group.next()
        #expect(events.value == 1)
        pair.server.close()  // the end, too, is something to be had
        try await group.waitForAll()
      }
    }
  }

  @Test(arguments: Place.allCases)
  func `of several readers each gets its share`(place: Place) async throws {
    try await place.run {
      let pair = try await Connection()
      try await withThrowingTaskGroup(of: [UInt8].self) { group in
        for _ in 0..<5 { group.addTask { try await pair.server.readExactly(100) } }
        for value in 0..<250 as Range<UInt8> { try await pair.client.write([value, value]) }
        var all: [UInt8] = []
        for try await part in group { all += part }
        #expect(all.sorted() == (0..<500).map { UInt8($0 / 2) })
      }
    }
  }

  @Test(arguments: Place.allCases)
  func `a cancelled read throws, and no byte is lost or doubled`(place: Place) async throws {
    try await place.run {
      let pair = try await Connection()
      var got: [UInt8] = []
      for value in 0..<250 as Range<UInt8> {
        let task = Task { try await pair.server.read(upTo: 3) }
        let other = Task { try await pair.server.readable() }
        for _ in 0..<value % 4 { await Task.yield() }
        async let written: Void = pair.client.write([value])
        task.cancel()
        other.cancel()
        switch await task.result {
        case .success(let bytes): got += bytes ?? [255]
        case .failure(let error): #expect((error as? IoError)?.code == .cancelled)
        }
        let code = await failure { try await other.value }
        #expect(code == nil || code == .cancelled)
        try await written
      }
      try pair.client.shutdown()
      got += try await pair.server.readAll()
      #expect(got == (0..<250).map { UInt8($0) })
    }
  }
}

@Suite(.timeLimit(watchdog)) struct TcpCloseTests {
  @Test(arguments: Place.allCases, loopbacks)
  func `closing wakes whoever reads, writes or waits`(place: Place, address: SocketAddress) async throws {
    try await place.run {
      for round in 0..<10 {
        let pair = try await Connection(address)
        let stream = pair.client
        await withTaskGroup(of: IoError.Code?.self) { group in
          group.addTask { await failure { try await stream.read(upTo: 1) } }
          group.addTask { await failure { try await stream.readable() } }
          for _ in 0..<3 { group.addTask { await failure { try await stream.write(much) } } }
          for _ in 0..<round { await Task.yield() }
          stream.close()
          for await code in group { #expect(code == .closed) }
        }
        await stream.closed()
      }
    }
  }

  @Test func `a closed stream refuses everything but being closed`() async throws {
    let pair = try await Connection()
    let stream = pair.client
    for _ in 0..<2 { await stream.closed() }
    stream.close()
    var byte: [UInt8] = [0]
    let errors = [
      await thrown { try await stream.read(upTo: 1) }, await thrown { try stream.tryRead(into: &byte) },
      await thrown { try await stream.peek(into: &byte) }, await thrown { try await stream.readable() },
      await thrown { try await stream.write("") }, await thrown { try await stream.write("x") },
      await thrown { try await stream.write(vectored: [[1]]) }, await thrown { try stream.tryWrite([1]) },
      await thrown { try await stream.writable() }, await thrown { try stream.shutdown() },
      await thrown { try stream.localAddress }, await thrown { try stream.setTtl(9) },
    ]
    #expect(errors.allSatisfy { $0?.code == .closed })
    #expect(errors.allSatisfy { $0?.description.contains("\(stream.peerAddress)") == true })
    #expect(try await pair.server.readAll().isEmpty)
  }

  /// What tells an open file from another one that has got its number.
  private func inodeNumber(_ fd: Int32) -> UInt64 {
    var status = stat()
    return unsafe fstat(fd, &status) == 0 ? UInt64(status.st_ino) : 0
  }

  @Test(arguments: Place.allCases)
  func `dropping the last reference closes the socket`(place: Place) async throws {
    try await place.run {
      let listener = try await TcpListener.bind(.loopback(port: 0))
      for round in 0..<20 {
        var ends = [try await TcpStream.connect(to: listener.localAddress), try await listener.accept()]
        let number = ends[round % 2].fd
        let inode = inodeNumber(number)
        ends.remove(at: round % 2)
        #expect(try await ends[0].readAll().isEmpty)
        #expect(inodeNumber(number) != inode)
      }
    }
  }

  @Test(arguments: loopbacks)
  func `after shutdown the other way goes on`(address: SocketAddress) async throws {
    let pair = try await Connection(address)
    try await pair.client.write("question")
    for _ in 0..<2 { try pair.client.shutdown() }
    #expect(try await pair.server.readAll() == Array("question".utf8))
    async let written: Void = pair.server.write(much)
    #expect(isSame(try await pair.client.readExactly(much.count), much))
    try await written
    #expect(await failure { try await pair.client.write("x") } == .brokenPipe)
    pair.server.close()
    #expect(try await pair.client.read(upTo: 1) == nil)
    try pair.client.shutdown()
  }

  @Test(arguments: Place.allCases, loopbacks)
  func `a peer's reset is told after what it had sent`(place: Place, address: SocketAddress) async throws {
    try await place.run {
      let pair = try await Connection(address)
      async let code = failure {
        let first = try await pair.server.readExactly(1)
        #expect(first == [7])
        _ = try await pair.server.readExactly(1)
      }
      try await pair.client.write([7])
      var linger = linger(l_onoff: 1, l_linger: 0)
      let size = socklen_t(MemoryLayout.size(ofValue: linger))
      #expect(unsafe setsockopt(pair.client.fd, SOL_SOCKET, SO_LINGER, &linger, size) == 0)
      pair.client.close()
      #expect(await code == .connectionReset)
    }
  }

  private static let brokenPipes = Tally()

  @Test(.disabled(if: isChaotic, aTryMayBlock), arguments: loopbacks)
  func `writing to a peer that is gone is an error, and never SIGPIPE`(address: SocketAddress) async throws {
    let old = signal(SIGPIPE) { _ in TcpCloseTests.brokenPipes.add() }
    defer { _ = signal(SIGPIPE, old) }
    let pair = try await Connection(address)
    await pair.server.closed()
    var codes: [IoError.Code?] = []
    for _ in 0..<3 {
      codes.append(await failure { try await pair.client.write("x") })
      codes.append(await failure { try await pair.client.write(vectored: [[1], [2]]) })
      codes.append(await failure { try pair.client.tryWrite([1]) })
    }
    // The first one may have gone out.
    #expect(codes.dropFirst().allSatisfy { $0 == .brokenPipe || $0 == .connectionReset })
    #expect(Self.brokenPipes.value == 0)
  }
}

@Suite(.timeLimit(watchdog)) struct TcpWriteTests {
  @Test(.disabled(if: isChaotic, aTryMayBlock))
  func `a full buffer takes a part, and is writable once the peer has read`() async throws {
    try await onOneWorker { worker in
      let pair = try await Connection()
      var taken = try #require(try pair.client.tryWrite(much))
      #expect(taken < much.count)
      while let more = try pair.client.tryWrite(much) { taken += more }
      let isWritable = Tally()
      try await withThrowingTaskGroup { group in
        group.addTask {
          try await pair.client.writable()
          isWritable.add()
        }
        await worker.idle()
        // The kernel may have found some room by itself since.
        #expect(isWritable.value == 0 || Syscalls.pollNow(pair.client.fd, for: 2).raw == 2)
        _ = try await pair.server.readExactly(taken)
        try await group.waitForAll()
      }
      #expect(try pair.client.tryWrite([6]) == 1)
      #expect(try await pair.server.readExactly(1) == [6])
    }
  }

  @Test(arguments: Place.allCases, loopbacks)
  func `cancelled writes tell how much went out, and the stream goes on`(
    place: Place, address: SocketAddress
  ) async throws {
    try await place.run {
      var random = SeededRandom(7)
      let pair = try await Connection(address)
      // Nobody reads: a part of this one goes out.
      var tasks = [Task { try await pair.client.write(much) }]
      try await pair.server.readable()
      tasks[0].cancel()
      #expect(await failure { try await tasks[0].value } == .cancelled)
      async let all = pair.server.readAll()
      var (sizes, written) = ([0], 0)
      for number in 1...60 {
        let part = [UInt8](repeating: 2, count: .random(in: 1...400_000, using: &random))
        let pieces = number % 2 == 0 ? [part] : [[1], part, [], part]
        tasks.append(Task { try await pair.client.write(vectored: pieces) })
        sizes.append(pieces.reduce(0) { $0 + $1.count })
        for _ in 0..<Int.random(in: 0...3, using: &random) { await Task.yield() }
        tasks.randomElement(using: &random)?.cancel()
      }
      for (task, size) in zip(tasks, sizes) {
        let error = await thrown { try await task.value }
        #expect(error == nil || error?.code == .cancelled)
        written += error?.bytesWritten ?? size
      }
      try await pair.client.write("more")
      try pair.client.shutdown()
      let got = try await all
      #expect(got.count == written + 4 && got.suffix(4) == Array("more".utf8)[...])
    }
  }
}
