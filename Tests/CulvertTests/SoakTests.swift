// SPDX-License-Identifier: Apache-2.0
// `make soak MINUTES=10`: thousands of connections that end in every way there is, while system calls fail at random.
// What comes back must be what was sent; and of what was used nothing may be left.
import CCulvert
import CulvertTesting
import Foundation
import Synchronization
import Testing

@testable import Culvert

private let soakMinutes =
  unsafe getenv("CULVERT_SOAK_MINUTES").flatMap { unsafe Int(String(cString: $0)) } ?? 0

/// How a connection of the soak ends.
private enum Ending: UInt8, CaseIterable {
  case close, halfClose, reset, drop, cancel, serverCloses, serverResets
}

@Suite(.enabled(if: soakMinutes > 0, "only by make soak"), .timeLimit(.minutes(soakMinutes + 10)))
struct SoakTests {
  static let connections = 2_000
  static let rounds = 6

  @Test func `after any number of connections of every kind nothing is left, and no byte was wrong`()
    async throws
  {
    let runtime = try Runtime(Runtime.Configuration(workers: 2))
    let listener = try await TcpListener.bind("127.0.0.1:0", backlog: 4096)
    let server = runtime.spawn(on: runtime.workers[0]) { try await listener.serve(Soak.serve) }
    let soak = Soak(runtime, try listener.localAddress)
    var rests: [Rest] = []
    for round in 1...Self.rounds {
      try await soak.run(
        Self.connections, seed: UInt64(round), until: .now + .seconds(soakMinutes * 60 / Self.rounds))
      // All is closed; the loops may have to let go yet.
      // The listener is on the first of them.
      let workers = try runtime.workers + Runtime.shared.workers
      for (number, worker) in workers.enumerated() {
        await worker.idle { worker.driver.handle.registrationCount == (number == 0 ? 1 : 0) }
      }
      rests.append(Rest(workers))
      print("soak: round \(round): \(soak.summary); \(rests[round - 1])")
    }
    #expect(soak.wrongBytes.value == 0)
    #expect(soak.unexpected.withLock { $0 } == [:])
    for ending in Ending.allCases { #expect((soak.endings.withLock { $0[ending] } ?? 0) > 100) }
    // The second round is the measure: the first one has filled what is kept for use again.
    let (early, late) = (rests[1], rests[Self.rounds - 1])
    #expect(late.descriptors == early.descriptors)
    #expect(late.sources == 1)
    #expect(late.bytes < early.bytes + max(early.bytes / 10, 4_000_000))
    #expect(soak.livingRecords == 0)
    await listener.closed()
    _ = await server.result
    await runtime.shutDown()
  }
}

/// What a process holds when it has nothing to do.
private struct Rest: CustomStringConvertible {
  let descriptors: Int
  /// Poll handles and their records.
  let sources: Int
  /// Resident.
  let bytes: Int

  init(_ workers: [Worker]) {
    descriptors = openDescriptorCount()
    sources = workers.reduce(0) { $0 + $1.driver.handle.registrationCount }
    // What is free goes back to the system first, or its pieces would count.
    typealias Trim = @convention(c) (Int) -> Int32
    if let trim = unsafe dlsym(nil, "malloc_trim") { _ = unsafe unsafeBitCast(trim, to: Trim.self)(0) }
    let pages = (try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8))?.split(separator: " ")
    bytes = (pages.flatMap { Int($0[1]) } ?? 0) * Int(getpagesize())
  }

  var description: String {
    "\(descriptors) descriptors, \(sources) sources, \(bytes / 1_000) kB resident"
  }
}

/// The stream ended before all had come back.
private struct Truncated: Error {
  let isExpected: Bool
}

private final class Soak: Sendable {
  private let runtime: Runtime
  private let address: SocketAddress
  let wrongBytes = Tally()
  let echoedBytes = Tally()
  let endings = Locked<[Ending: Int]>([:])
  let unexpected = Locked<[String: Int]>([:])
  private let records = Locked<[WeakRecord]>([])

  private struct WeakRecord {
    weak var info: RegistrationInfo?
  }

  init(_ runtime: Runtime, _ address: SocketAddress) {
    self.runtime = runtime
    self.address = address
  }

  /// The records of connections that still exist.
  var livingRecords: Int { records.withLock { $0.count { $0.info != nil } } }

  var summary: String {
    let counts = endings.withLock { $0 }.sorted { $0.key.rawValue < $1.key.rawValue }
    return "\(echoedBytes.value / 1_000_000) MB echoed, "
      + counts.map { "\($0.key) \($0.value)" }.joined(separator: ", ")
  }

  /// Keeps `count` connections going until then.
  func run(_ count: Int, seed: UInt64, until end: ContinuousClock.Instant) async throws {
    records.withLock { $0 = [] }
    try await withThrowingTaskGroup { group in
      for number in 0..<count {
        // A tenth of them from outside of the workers.
        let worker = number % 10 == 0 ? nil : runtime.workers[number % runtime.workers.count]
        group.addTask(executorPreference: worker) { [self] in
          var random = SeededRandom(seed &* 1_000_003 &+ UInt64(number))
          repeat { try await one(&random) } while ContinuousClock.now < end
        }
      }
      try await group.waitForAll()
    }
  }

  private func one(_ random: inout SeededRandom) async throws {
    let ending = Ending.allCases.randomElement(using: &random)!
    let chunks = (0..<Int.random(in: 1...6, using: &random)).map { _ in
      Int.random(in: 1...20_000, using: &random)
    }
    let seed = UInt8.random(in: 0...255, using: &random)
    let delay = Duration.microseconds(Int.random(in: 0...20_000, using: &random))
    if ending == .cancel {
      let task = runtime.spawn { try await self.session(ending, seed, chunks) }
      try await sleep(for: delay)
      task.cancel()
      note(ending, await task.result)
    } else {
      do {
        note(ending, .success(try await session(ending, seed, chunks)))
      } catch {
        note(ending, .failure(error))
      }
    }
  }

  private func note(_ ending: Ending, _ result: Result<Void, any Error>) {
    endings.withLock { $0[ending, default: 0] += 1 }
    guard case .failure(let error) = result else { return }
    let isExpected =
      switch ending {
      case .close, .halfClose, .reset, .drop: false
      case .cancel: (error as? IoError)?.code == .cancelled
      case .serverCloses, .serverResets:
        [.connectionReset, .brokenPipe].contains((error as? IoError)?.code)
          || (error as? Truncated)?.isExpected == true
      }
    if !isExpected { unexpected.withLock { $0["\(ending): \(error)", default: 0] += 1 } }
  }

  /// The first bytes say what the server is to do, then whatever is sent comes back.
  private func session(_ ending: Ending, _ seed: UInt8, _ chunks: [Int]) async throws {
    let stream = try await TcpStream.connect(to: address)
    records.withLock { $0.append(WeakRecord(info: stream.registration.info)) }
    try await stream.write([ending.rawValue])
    var sent = 0
    for (number, size) in chunks.enumerated() {
      let isLast = number == chunks.count - 1
      let bytes = (sent..<sent + size).map { Self.byte($0, seed) }
      async let written: Void = {
        try await stream.write(bytes)
        if ending == .halfClose, isLast { try stream.shutdown() }
      }()
      let got = try await check(stream, from: sent, to: sent + size, seed)
      try await written
      sent += size
      if got < sent { throw Truncated(isExpected: ending == .serverCloses || ending == .serverResets) }
    }
    switch ending {
    case .halfClose: _ = try await check(stream, from: sent, to: .max, seed)
    case .reset:
      resetOnClose(stream.fd)
      stream.close()
    case .drop: break
    default: await stream.closed()
    }
  }

  private static func byte(_ position: Int, _ seed: UInt8) -> UInt8 {
    UInt8(truncatingIfNeeded: position &* 31 &+ position >> 8) ^ seed
  }

  /// Reads what lies between those positions, or up to the end of the stream, and compares; returns how far it got.
  private func check(_ stream: TcpStream, from start: Int, to end: Int, _ seed: UInt8) async throws -> Int {
    var position = start
    while position < end, let some = try await stream.read(upTo: min(8192, end - position)) {
      let wrong = some.indices.count { some[$0] != Self.byte(position + $0, seed) }
      if wrong > 0 { wrongBytes.add(wrong) }
      echoedBytes.add(some.count)
      position += some.count
    }
    return position
  }

  static let serve: @Sendable (TcpStream) async throws -> Void = { stream in
    guard let mode = try await stream.read(upTo: 1)?.first.flatMap(Ending.init(rawValue:)) else { return }
    var left = mode == .serverCloses || mode == .serverResets ? 10_000 : Int.max
    while let some = try await stream.read(upTo: 4096) {
      try await stream.write(some)
      left -= some.count
      if left <= 0 { break }
    }
    if mode == .serverResets { resetOnClose(stream.fd) }
  }
}
