// SPDX-License-Identifier: Apache-2.0
// What a client and a server do together, wherever a task may run; and what the TCP tests share.
import Foundation
import CulvertTesting
import Testing

@testable import Culvert

let loopbacks: [SocketAddress] = [.loopback(port: 0), .loopback6(port: 0)]

/// More than the socket buffers of a connection hold while nobody reads.
let much = [UInt8](repeating: 1, count: 16 << 20)

/// Where code that uses sockets may run.
enum Place: CaseIterable, Sendable {
  case worker, noWorker, actor, actorOfWorker

  func run(_ body: @escaping @Sendable () async throws -> Void) async throws {
    switch self {
    case .worker: try await withRuntime(workers: 2) { _ in try await body() }
    case .noWorker: try await body()
    case .actor: try await Room().run(body)
    case .actorOfWorker:
      try await withRuntime(workers: 2) { runtime in try await WorkerRoom(on: runtime.workers[1]).run(body) }
    }
  }

  // With something of its own to do, or the compiler leaves out the way to the actor.

  private actor Room {
    private var runs = 0
    func run(_ body: () async throws -> Void) async throws {
      runs += 1
      try await body()
    }
  }

  private actor WorkerRoom {
    private let worker: Worker
    init(on worker: Worker) { self.worker = worker }
    nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe worker.serial.asUnownedSerialExecutor() }
    private var runs = 0
    func run(_ body: () async throws -> Void) async throws {
      runs += 1
      try await body()
    }
  }
}

/// Both ends of a connection.
struct Connection: Sendable {
  let listener: TcpListener
  let client: TcpStream
  let server: TcpStream

  init(_ address: SocketAddress = .loopback(port: 0)) async throws(IoError) {
    listener = try await TcpListener.bind(address)
    client = try await TcpStream.connect(to: listener.localAddress)
    server = try await listener.accept()
  }
}

extension StreamSocket {
  /// Reads until the end of the stream.
  func readAll() async throws(IoError) -> [UInt8] { try await readExactly(.max) }

  /// Reads that many bytes, or fewer at the end of the stream.
  func readExactly(_ count: Int) async throws(IoError) -> [UInt8] {
    var all: [UInt8] = []
    while all.count < count, let more = try await read(upTo: min(65_536, count - all.count)) { all += more }
    return all
  }
}

/// The error that `body` throws.
func thrown<R>(_ body: () async throws -> R) async -> IoError? {
  do {
    _ = try await body()
    return nil
  } catch {
    return error as? IoError
  }
}

/// Returns when the current task is cancelled.
func untilCancelled() async { _ = await failure { try await Gate().passed() } }

/// `==` on an array takes a second for 50 MB in a debug build.
func isSame(_ a: [UInt8], _ b: [UInt8]) -> Bool {
  if a.count != b.count { return false }
  return unsafe a.isEmpty || memcmp(a, b, a.count) == 0
}

@Suite(.timeLimit(watchdog)) struct TcpScenarioTests {
  private func echo(_ stream: TcpStream) async throws {
    while let chunk = try await stream.read(upTo: 1024) { try await stream.write(chunk) }
  }

  /// Says something to an echo server, and hears it and then the end.
  private func talk(to listener: TcpListener, _ message: [UInt8]) async throws {
    let stream = try await TcpStream.connect(to: listener.localAddress)
    try await stream.write(message)
    #expect(try await stream.readExactly(message.count) == message)
    try stream.shutdown()
    #expect(try await stream.read(upTo: 1) == nil)
  }

  @Test(arguments: Place.allCases, loopbacks)
  func `what an echo server sends back is what it got`(place: Place, address: SocketAddress) async throws {
    try await place.run {
      let listener = try await TcpListener.bind(address)
      async let served: Void = listener.serve { try await echo($0) }
      for size in [0, 1, 20, 1024] { try await talk(to: listener, countingBytes(size)) }
      await listener.closed()
      try await served
    }
  }

  @Test(arguments: Place.allCases, loopbacks)
  func `a server need not answer`(place: Place, address: SocketAddress) async throws {
    try await place.run {
      let listener = try await TcpListener.bind(address)
      async let got: [UInt8] = listener.accept().readAll()
      let client = try await TcpStream.connect(to: listener.localAddress)
      try await client.write("nobody answers")
      try client.shutdown()
      #expect(try await client.readAll().isEmpty)
      #expect(try await got == Array("nobody answers".utf8))
    }
  }

  @Test(arguments: Place.allCases, loopbacks)
  func `clients in turn or at once are all served`(place: Place, address: SocketAddress) async throws {
    try await place.run {
      let listener = try await TcpListener.bind(address)
      async let served: Void = listener.serve { try await echo($0) }
      for number in 0..<3 as Range<UInt8> { try await talk(to: listener, [number]) }
      for count in [3, 50] as [UInt8] {
        try await withThrowingTaskGroup { group in
          for number in 0..<count { group.addTask { try await talk(to: listener, [number, 1, number]) } }
          try await group.waitForAll()
        }
      }
      listener.close()
      try await served
    }
  }

  @Test(arguments: Place.allCases, loopbacks)
  func `both ends see the same two addresses`(place: Place, address: SocketAddress) async throws {
    try await place.run {
      let pair = try await Connection(address)
      #expect(try pair.client.peerAddress == pair.listener.localAddress)
      #expect(try pair.server.localAddress == pair.client.peerAddress)
      #expect(try pair.server.peerAddress == pair.client.localAddress)
      #expect(pair.server.peerAddress.host == address.host)
      #expect(try pair.client.localAddress.port != pair.client.peerAddress.port)
    }
  }

  @Test(arguments: loopbacks)
  func `an option nobody set is the system's default, and small writes go out at once`(
    address: SocketAddress
  ) async throws {
    let isV4 = address.family == .ipv4
    let path = isV4 ? "/proc/sys/net/ipv4/ip_default_ttl" : "/proc/sys/net/ipv6/conf/default/hop_limit"
    let text = try? String(contentsOfFile: path, encoding: .utf8).trimmingCharacters(in: .newlines)
    let hops = text.flatMap { Int($0) } ?? 64
    let pair = try await Connection(address)
    #expect(try pair.listener.ttl == hops && pair.client.ttl == hops && pair.server.ttl == hops)
    #expect(try pair.client.noDelay && pair.server.noDelay)
    try pair.client.setNoDelay(false)
    #expect(try !pair.client.noDelay)
  }

  @Test(arguments: loopbacks, [1, 64, 128, 255])
  func `a TTL that was set is read back`(address: SocketAddress, ttl: Int) async throws {
    let listener = try await TcpListener.bind(address)
    try listener.setTtl(ttl)
    #expect(try listener.ttl == ttl)
    let client = try await TcpStream.connect(to: listener.localAddress)
    let server = try await listener.accept()
    #expect(try server.ttl == ttl)
    try client.setTtl(ttl)
    #expect(try client.ttl == ttl)
    try await client.write("ping")
    #expect(try await server.readExactly(4) == Array("ping".utf8))
  }

  @Test(arguments: loopbacks, [0, 256, 257, 65_536, 4_294_967_295, -1, Int.max, Int.min])
  func `a TTL out of range is refused, and the old one stays`(address: SocketAddress, ttl: Int) async throws {
    let pair = try await Connection(address)
    try pair.listener.setTtl(77)
    try pair.client.setTtl(77)
    let error = await thrown { try pair.listener.setTtl(ttl) }
    for error in [error, await thrown { try pair.client.setTtl(ttl) }] {
      #expect(error?.code == .invalidArgument)
      #expect(error?.description.contains(" \(ttl),") == true)
    }
    #expect(try pair.listener.ttl == 77 && pair.client.ttl == 77)
  }

  @Test(.disabled(if: isChaotic, aTryMayBlock), arguments: loopbacks)
  func `each way to write arrives whole and in order`(address: SocketAddress) async throws {
    let pair = try await Connection(address)
    let text = "grün 🌊\0"
    let bytes = Array(text.utf8)
    async let all = pair.server.readAll()
    try await pair.client.write(unsafe bytes.span.bytes)
    try await pair.client.write(bytes.span)
    try await pair.client.write(bytes)
    try await pair.client.write(bytes[1...2])
    try await pair.client.write(text)
    #expect(try pair.client.tryWrite(bytes) == bytes.count)
    try await pair.client.write(vectored: [bytes, [], bytes])
    for nothing in [[], [[], []]] as [[[UInt8]]] { try await pair.client.write(vectored: nothing) }
    try await pair.client.write("")
    try await pair.client.write(bytes[1..<1])
    #expect(try pair.client.tryWrite([]) == 0)
    try pair.client.shutdown()
    #expect(try await all == bytes + bytes + bytes + bytes[1...2] + bytes + bytes + bytes + bytes)
  }

  @Test(arguments: 0..<3)
  func `pieces arrive one after the other, however many, large or empty`(kind: Int) async throws {
    let pieces = [
      (0..<1_000).map { [UInt8](repeating: UInt8($0 % 251), count: $0 % 9) },
      (0..<5).map { [UInt8](repeating: $0, count: 3 << 20) },
      [[1]] + [[UInt8]](repeating: [], count: 100_000) + [[2]],
    ][kind]
    try await withRuntime(workers: 2) { _ in
      let pair = try await Connection()
      async let all = pair.server.readAll()
      try await pair.client.write(vectored: pieces)
      try pair.client.shutdown()
      #expect(isSame(try await all, pieces.reduce(into: []) { $0 += $1 }))
    }
  }

  @Test(.serialized, arguments: Place.allCases, loopbacks)
  func `50 MB each way at once arrive byte for byte`(place: Place, address: SocketAddress) async throws {
    let block = (0..<65_521).map { _ in UInt8.random(in: 0...255) }
    let data = (0..<764).reduce(into: [UInt8]()) { data, _ in data += block }
    try await place.run {
      let pair = try await Connection(address)
      try await withThrowingTaskGroup { group in
        for (writer, reader) in [(pair.client, pair.server), (pair.server, pair.client)] {
          group.addTask {
            try await writer.write(data)
            try writer.shutdown()
          }
          group.addTask {
            let all = try await reader.readAll()
            #expect(isSame(all, data))
          }
        }
        try await group.waitForAll()
      }
    }
  }

  @Test(.serialized, arguments: Place.allCases)
  func `writes of many tasks on one stream are never interleaved`(place: Place) async throws {
    let size = 65_536
    try await place.run {
      let pair = try await Connection()
      try await withThrowingTaskGroup { group in
        for writer in 0..<8 as Range<UInt8> {
          group.addTask {
            for _ in 0..<200 { try await pair.client.write([UInt8](repeating: writer, count: size)) }
          }
        }
        var counts = [Int](repeating: 0, count: 8)
        for _ in 0..<1_600 {
          let block = try await pair.server.readExactly(size)
          #expect(isSame(block, [UInt8](repeating: block[0], count: size)))
          counts[Int(block[0])] += 1
        }
        #expect(counts == [Int](repeating: 200, count: 8))
      }
    }
  }

  @Test func `writes go out in the order of asking, but for the cancelled ones`() async throws {
    try await onOneWorker { worker in
      let pair = try await Connection()
      let runtime = try #require(Runtime.current)
      var tasks = [runtime.spawn { try await pair.client.write(much) }]
      for number in 1...9 as ClosedRange<UInt8> {
        await worker.idle()
        tasks.append(runtime.spawn { try await pair.client.write([number]) })
      }
      await worker.idle()
      #expect(try pair.client.tryWrite([99]) == nil)
      for number in [3, 6, 9] {
        tasks[number].cancel()
        let error = await thrown { try await tasks[number].value }
        #expect(error?.code == .cancelled && error?.bytesWritten == 0)
      }
      #expect(try await pair.server.readExactly(much.count + 6).suffix(6) == [1, 2, 4, 5, 7, 8])
    }
  }
}
