// SPDX-License-Identifier: Apache-2.0
// Descriptors that are passed over Unix streams: all of them or none, in order, and none is left open.
import CCulvert
import CulvertTesting
import Foundation
import Testing

@testable import Culvert

/// A pair by which a test sees where a descriptor went: a byte written comes back, and the end when none is left.
/// No pipe, whose ends the processes that other tests start would have too.
private struct Probe {
  let reading: BridgedFd
  let writing: Int32

  init() throws {
    let (mine, theirs) = try socketPair()
    reading = try BridgedFd(adopting: mine)
    writing = theirs
  }

  /// The next byte; 256 when nobody has the writing end any more.
  func next() async throws -> Int { try await reading.asyncCall(.readable, readByte) }
}

private struct Missing: Error {}

extension UnixStream {
  /// What `receive` gives, which must not be the end. (`#require` takes no value that can't be copied.)
  fileprivate func message(upTo limit: Int) async throws -> FdMessage {
    guard let message = try await receive(upTo: limit) else { throw Missing() }
    return message
  }
}

extension FdMessage {
  fileprivate mutating func descriptor() throws -> OwnedFd {
    guard let next = nextDescriptor() else { throw Missing() }
    return next
  }
}

/// How many sockets this process has open. (Of other descriptors dispatch opens some on a thread of its own, at any time.)
private func openSocketCount() -> Int {
  (0..<descriptorLimit).filter { number in
    var (type, length) = (Int32(0), socklen_t(MemoryLayout<Int32>.size))
    return unsafe getsockopt(Int32(number), SOL_SOCKET, SO_TYPE, &type, &length) == 0
  }.count
}

private func put(_ fd: Int32, _ byte: UInt8) -> Bool { unsafe write(fd, [byte], 1) == 1 }

@Suite(.timeLimit(watchdog)) struct FdPassingTests {
  @Test(.disabled(if: isChaotic, "a read may be short"))
  func `descriptors come with the bytes, in order, close-on-exec`() async throws {
    let (one, other) = try UnixStream.pair()
    let probes = try (0..<3).map { _ in try Probe() }
    try await one.write("before ")
    try await one.send(Array("with".utf8), descriptors: probes.map(\.writing))
    try await one.write(" after")
    for probe in probes { close(probe.writing) }
    var message = try await other.message(upTo: 100)
    // Never bytes from behind the descriptors.
    #expect(message.bytes == Array("before with".utf8) && message.descriptorCount == 3)
    for (value, probe) in zip([1, 2, 3] as [UInt8], probes) {
      let fd = try message.descriptor()
      #expect(fcntl(fd.fd, F_GETFD) & FD_CLOEXEC != 0)
      #expect(put(fd.fd, value))
      #expect(try await probe.next() == Int(value))
    }
    let isLast = message.nextDescriptor() == nil
    #expect(isLast && message.descriptorCount == 0)
    // What was taken is closed as it is dropped.
    for probe in probes { #expect(try await probe.next() == 256) }
    let rest = try await other.message(upTo: 100)
    #expect(rest.bytes == Array(" after".utf8) && rest.descriptorCount == 0)
    one.close()
    let atEnd = try await other.receive(upTo: 100) == nil
    #expect(atEnd)
  }

  @Test func `what is not taken is closed with its message, and by a plain read`() async throws {
    let (one, other) = try UnixStream.pair()
    for isRead in [false, true] {
      let probe = try Probe()
      try await one.send([1], descriptors: [probe.writing])
      close(probe.writing)
      if isRead {
        #expect(try await other.read(upTo: 1) == [1])
      } else {
        let bytes = try await other.message(upTo: 1).bytes
        #expect(bytes == [1])
      }
      #expect(try await probe.next() == 256)
    }
  }

  @Test func `a descriptor that is taken over is a source like any other`() async throws {
    let (one, other) = try UnixStream.pair()
    let (mine, theirs) = try UnixStream.pair()
    try await one.send([1], descriptors: [theirs])
    theirs.close()
    var message = try await other.message(upTo: 1)
    let fd = try message.descriptor()
    let source = try BridgedFd(adopting: fd)
    try await mine.write("x")
    #expect(try await source.asyncCall(.readable, readByte) == Int(UInt8(ascii: "x")))
    source.close()
    #expect(try await mine.read(upTo: 1) == nil)
    #expect(await failure { try await one.send([1], descriptors: [theirs]) } == .closed)
  }

  @Test func `a message takes as many as the kernel allows, and needs a byte`() async throws {
    let (one, other) = try UnixStream.pair()
    let probe = try Probe()
    let most = UnixStream.mostDescriptors
    #expect(await failure { try await one.send([], descriptors: [probe.writing]) } == .invalidArgument)
    let tooMany = [Int32](repeating: probe.writing, count: most + 1)
    #expect(await failure { try await one.send([1], descriptors: tooMany) } == .invalidArgument)
    #expect(await failure { try await one.send([1], descriptors: [-1]) } == .badDescriptor)
    try await one.send([1], descriptors: Array(tooMany.dropLast()))
    close(probe.writing)
    do {
      let message = try await other.message(upTo: 1)
      #expect(message.descriptorCount == most)
    }
    #expect(try await probe.next() == 256)
  }

  @Test func `more than were asked for are closed, and it is an error`() async throws {
    let (one, other) = try UnixStream.pair()
    let probe = try Probe()
    try await one.send([1], descriptors: [probe.writing, probe.writing])
    close(probe.writing)
    let error = await thrown { _ = try await other.receive(upTo: 1, descriptors: 1) }
    #expect(error?.code == .limitReached && error?.operation.hasSuffix(": 2 descriptors, not 1") == true)
    #expect(try await probe.next() == 256)
  }

  @Test func `large bytes that go out in parts take the descriptors along once`() async throws {
    let (one, other) = try UnixStream.pair()
    let probe = try Probe()
    async let sent: Void = one.send(much, descriptors: [probe.writing])
    var (bytes, descriptors) = (0, 0)
    while bytes < much.count, let message = try await other.receive(upTo: 1 << 20) {
      #expect(bytes == 0 || message.descriptorCount == 0)
      bytes += message.bytes.count
      descriptors += message.descriptorCount
    }
    try await sent
    close(probe.writing)
    #expect(bytes == much.count && descriptors == 1)
    #expect(try await probe.next() == 256)
  }

  @Test func `cancelling a receiver loses no byte and no descriptor`() async throws {
    let (one, other) = try UnixStream.pair()
    let probe = try Probe()
    defer { close(probe.writing) }
    var (bytes, descriptors) = (0, 0)
    // No more than fit into the buffer, for nobody empties it meanwhile.
    for round in 0..<60 {
      let task = Task { () async throws -> [Int] in
        guard let message = try await other.receive(upTo: 1) else { return [] }
        return [message.bytes.count, message.descriptorCount]
      }
      for _ in 0..<round % 4 { await Task.yield() }
      async let sent: Void = one.send([1], descriptors: [probe.writing])
      task.cancel()
      switch await task.result {
      case .success(let counts): (bytes, descriptors) = (bytes + counts[0], descriptors + counts[1])
      case .failure(let error): #expect((error as? IoError)?.code == .cancelled)
      }
      try await sent
    }
    one.close()
    while let message = try await other.receive(upTo: 1) {
      (bytes, descriptors) = (bytes + message.bytes.count, descriptors + message.descriptorCount)
    }
    #expect(bytes == 60 && descriptors == 60)
  }

  @Test func `a process gets a descriptor from another one, and none is left over`() async throws {
    let path = freshPath()
    let listener = try await UnixListener.bind("unix:\(path)")
    let probe = try Probe()
    // On a thread of its own: while the other process runs, the testing library blocks one of the pool's.
    let runtime = try Runtime(Runtime.Configuration(workers: 1))
    let passed = runtime.spawn {
      _ = try await listener.accept()  // the other one only warms up with this
      let stream = try await listener.accept()
      #expect(try stream.peerCredentials.pid != getpid())
      try await stream.send([1], descriptors: [probe.writing])
      close(probe.writing)
      #expect(try await stream.read(upTo: 1) == nil)
    }
    await #expect(processExitsWith: .success) { [path = path as String] in
      try await onOneWorker { _ in
        let stream = try await UnixStream.connect(to: "unix:\(path)")
        await stream.closed()  // whatever a first connection opens for good is open now
        let before = openSocketCount()
        let again = try await UnixStream.connect(to: "unix:\(path)")
        do {
          var message = try await again.message(upTo: 1)
          #expect(message.descriptorCount == 1 && openSocketCount() == before + 2)
          let fd = try message.descriptor()
          #expect(put(fd.fd, 77))
        }
        await again.closed()
        #expect(openSocketCount() == before)
      }
    }
    try await passed.value
    await runtime.shutDown()
    #expect(try await probe.next() == 77)
    #expect(try await probe.next() == 256)
  }

  #if os(Linux)
    @Test(.disabled(if: isChaotic, "what counts on each number must not be told to try again"))
    func `where not all fit into the process, those that came are closed, and it is an error`() async {
      await #expect(processExitsWith: .success) {
        try await onOneWorker { _ in
          let (one, other) = try UnixStream.pair()
          let number = other.fd
          try await one.send([1], descriptors: [number, number, number])
          let before = openSocketCount()
          var limit = rlimit()
          _ = unsafe getrlimit(.init(RLIMIT_NOFILE.rawValue), &limit)
          let usual = limit.rlim_cur
          // The lowest two numbers that are free are all there are.
          let free = (0..<Int32(usual)).filter { !culvert_is_open($0) }[1]
          limit.rlim_cur = rlim_t(free + 1)
          _ = unsafe setrlimit(.init(RLIMIT_NOFILE.rawValue), &limit)
          #expect(await failure { _ = try await other.receive(upTo: 1) } == .tooManyDescriptors)
          limit.rlim_cur = usual
          _ = unsafe setrlimit(.init(RLIMIT_NOFILE.rawValue), &limit)
          #expect(openSocketCount() == before)
          try await one.send([2], descriptors: [number])
          let message = try await other.message(upTo: 1)
          #expect(message.bytes == [2] && message.descriptorCount == 1)
        }
      }
    }
  #endif

  #if FaultInjection
    @Test func `calls that do nothing, or little, are no matter`() async throws {
      let script = FaultScript(seed: 3)
      script.add(.fail(EINTR), to: [.send, .receive], chance: 0.3)
      script.add(.fail(EAGAIN), to: [.send, .receive], chance: 0.3)
      script.add(.atMost(1), to: [.send, .receive], chance: 0.5)
      try await script.run {
        let (one, other) = try UnixStream.pair()
        let probe = try Probe()
        // At the same time: who is told once that the buffer is full waits until it is three quarters empty.
        async let sent: Void = {
          for round in 0..<50 as Range<UInt8> {
            try await one.send([round, round], descriptors: [probe.writing, probe.writing])
          }
          close(probe.writing)
          one.close()
        }()
        var (bytes, descriptors): ([UInt8], Int) = ([], 0)
        while let message = try await other.receive(upTo: 10) {
          bytes += message.bytes
          descriptors += message.descriptorCount
        }
        try await sent
        #expect(bytes == (0..<50 as Range<UInt8>).flatMap { [$0, $0] } && descriptors == 100)
        #expect(try await probe.next() == 256)
      }
    }

    @Test func `a fault on the way leaves none open, and says why`() async throws {
      let (one, other) = try UnixStream.pair()
      let probe = try Probe()
      let script = FaultScript()
      script.add(.fail(ETOOMANYREFS), to: [.send], times: 1)
      script.add(.failAfterwards(ECONNRESET), to: [.receive], times: 1)
      try await script.run {
        #expect(
          await failure { try await one.send([1], descriptors: [probe.writing]) } == .tooManyDescriptors)
        try await one.send([1], descriptors: [probe.writing])
        close(probe.writing)
        #expect(await failure { _ = try await other.receive(upTo: 1) } == .connectionReset)
        #expect(try await probe.next() == 256)
      }
    }
  #endif
}
