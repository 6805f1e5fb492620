// SPDX-License-Identifier: Apache-2.0
// How a connection ends, and what a cancelled call leaves behind.
import CulvertTLS
import CulvertTesting
import Testing

@testable import Culvert

@Suite(.timeLimit(watchdog)) struct TlsEndingTests {
  private static let both = [TlsVersion.v12, .v13]

  private func pair(_ version: TlsVersion = .v13) async throws -> (
    client: TlsStream<TcpStream>, server: TlsStream<TcpStream>
  ) {
    try await Contexts(client: { $0.maximumVersion = version }).tcpPair()
  }

  @Test(arguments: both)
  func `an end is told from an end that was cut`(version: TlsVersion) async throws {
    try await onOneWorker { _ in
      let (client, server) = try await pair(version)
      try await client.write("all of it")
      try await client.shutdown()
      #expect(try await server.read(upTo: 100) == Array("all of it".utf8))
      #expect(try await server.read(upTo: 100) == nil)

      let (cutClient, cutServer) = try await pair(version)
      try await cutClient.write("some of it")
      // Past TLS: what somebody in between can do.
      try cutClient.base.shutdown()
      #expect(try await cutServer.read(upTo: 100) == Array("some of it".utf8))
      for _ in 0..<2 {
        let error = try await failure { try await cutServer.read(upTo: 100) }
        #expect(error.code == .unexpectedEnd)
        #expect(
          error.description.hasSuffix(
            "the stream has ended: without TLS's own end (close_notify): what came may have been cut off"))
      }
      // The other direction is whole.
      try await cutServer.write("what was that?")
      #expect(try await cutClient.read(upTo: 100) == Array("what was that?".utf8))
    }
  }

  @Test(arguments: both)
  func `an end in the middle of a record loses what is before it only`(version: TlsVersion) async throws {
    try await onOneWorker { _ in
      let (client, server) = try await pair(version)
      try await client.write("whole")
      try await client.base.write([23, 3, 3, 0, 100, 1, 2, 3])
      try client.base.shutdown()
      #expect(try await server.read(upTo: 100) == Array("whole".utf8))
      #expect(try await failure { try await server.read(upTo: 100) }.code == .unexpectedEnd)
    }
  }

  @Test(arguments: both)
  func `who has said all may still listen`(version: TlsVersion) async throws {
    try await onOneWorker { _ in
      let (client, server) = try await pair(version)
      try await client.shutdown()
      #expect(try await server.read(upTo: 1) == nil)
      try await server.write("an answer after the question's end")
      try await server.shutdown()
      #expect(try await client.read(upTo: 100) == Array("an answer after the question's end".utf8))
      #expect(try await client.read(upTo: 100) == nil)
      // Twice is nothing.
      try await client.shutdown()
    }
  }

  @Test func `a handshake that is cancelled closes its stream`() async throws {
    try await onOneWorker { _ in
      let contexts = try Contexts()
      for isServer in [true, false] {
        let (stream, silent) = try await TcpStream.loopbackPair()
        defer { silent.close() }
        let error = try await failure {
          try await withTimeout(.milliseconds(20)) {
            _ =
              isServer
              ? try await TlsStream.server(over: stream, context: contexts.server)
              : try await TlsStream.client(over: stream, host: "localhost", context: contexts.client)
          }
        }
        #expect(error.code == .timedOut)
        #expect(try await failure { try await stream.read(upTo: 1) }.code == .closed)
      }
    }
  }

  /// A write that is cancelled in the middle of a record leaves the record to the next one.
  @Test(arguments: both)
  func `a write that is cancelled in the middle of a record breaks no record`(version: TlsVersion)
    async throws
  {
    try await onOneWorker { worker in
      let contexts = try Contexts(client: { $0.maximumVersion = version })
      let (near, far) = DuplexStream.pair(capacity: 1000)
      let (client, server) = try await contexts.pair(over: near, far)
      let bytes = [UInt8](repeating: 7, count: 10_000)
      let writing = Task.onWorker(worker) { () -> Int in
        do {
          try await client.write(bytes)
          return bytes.count
        } catch let error as IoError {
          #expect(error.code == .cancelled)
          return error.bytesWritten
        }
      }
      await worker.idle()
      writing.cancel()
      let written = try await writing.value
      #expect(written == bytes.count)
      async let rest: Void = client.write("the rest")
      var received: [UInt8] = []
      while received.count < written + 8, let some = try await server.read(upTo: 4096) { received += some }
      try await rest
      #expect(received == bytes + Array("the rest".utf8))
    }
  }

  @Test(arguments: both)
  func `a read that is cancelled in the middle of a record loses nothing`(version: TlsVersion) async throws {
    try await onOneWorker { worker in
      let contexts = try Contexts(client: { $0.maximumVersion = version })
      let (near, far) = DuplexStream.pair()
      let holding = HoldingStream(near)
      let (client, server) = try await contexts.pair(over: holding, far)
      holding.hold()
      try await client.write("a whole record")
      let record = holding.held
      for byte in record.dropLast() {
        try await near.write([byte])
        let reading = Task.onWorker(worker) { try await failure { try await server.read(upTo: 100) }.code }
        await worker.idle()
        reading.cancel()
        #expect(try await reading.value == .cancelled)
      }
      try await near.write([record.last ?? 0])
      #expect(try await server.read(upTo: 100) == Array("a whole record".utf8))
    }
  }

  @Test func `keys are changed while both sides talk`() async throws {
    try await onOneWorker { _ in
      let (client, server) = try await pair()
      for round in 0..<10 {
        let one = round % 2 == 0 ? client : server
        try one.updateKeys(ofPeer: round % 3 == 0)
        let text = "round \(round)"
        try await client.write(text)
        #expect(try await server.read(upTo: 100) == Array(text.utf8))
        try await server.write(text)
        #expect(try await client.read(upTo: 100) == Array(text.utf8))
      }
      let (old, _) = try await pair(.v12)
      #expect(try await failure { try old.updateKeys() }.code == .unsupported)
    }
  }

  @Test func `keys that are due keep no end from being told`() async throws {
    try await onOneWorker { _ in
      for isClosed in [true, false] {
        let (client, server) = try await pair()
        try client.updateKeys(ofPeer: isClosed)
        if isClosed { await client.closed() } else { try await client.shutdown() }
        #expect(try await server.read(upTo: 100) == nil)
      }
    }
  }

  @Test func `who is closed says so, and the other end finds the end`() async throws {
    try await onOneWorker { _ in
      for isAwaited in [true, false] {
        let (client, server) = try await pair()
        try await client.write("last words")
        if isAwaited { await client.closed() } else { client.close() }
        #expect(try await failure { try await client.write("more") }.code == .closed)
        #expect(try await server.read(upTo: 100) == Array("last words".utf8))
        #expect(try await server.read(upTo: 100) == nil)
      }
    }
  }

  @Test func `dropping the last reference closes it`() async throws {
    try await onOneWorker { _ in
      var (client, server): (TlsStream<TcpStream>?, TlsStream<TcpStream>)
      (client, server) = try await pair()
      try await client?.write("last words")
      client = nil
      #expect(try await server.read(upTo: 100) == Array("last words".utf8))
      #expect(try await server.read(upTo: 100) == nil)
    }
  }

  @Test func `a peer that does not read keeps a closed stream for a while only`() async throws {
    try await onOneWorker { worker in
      let contexts = try Contexts()
      let (near, far) = DuplexStream.pair(capacity: 2048)
      let (client, server) = try await contexts.pair(over: near, far)
      let writing = Task.onWorker(worker) { try? await client.write([UInt8](repeating: 1, count: 5000)) }
      await worker.idle()
      writing.cancel()
      _ = try await writing.value
      // A part of a record is left, and no room.
      await client.closed()
      #expect(try await failure { try await near.read(upTo: 1) }.code == .closed)
      #expect(try await failure { while try await server.read(upTo: 9999) != nil {} }.code == .unexpectedEnd)
    }
  }
}

extension Task where Failure == any Error {
  /// A task on a worker that can be cancelled by itself.
  static func onWorker(
    _ worker: Worker, _ body: @escaping @concurrent @Sendable () async throws -> Success
  ) -> Task {
    Task(executorPreference: worker) { try await body() }
  }
}

/// A stream that from some time on keeps what is written to it.
final class HoldingStream: ByteStream {
  private let base: DuplexStream
  private let state = Locked<[UInt8]?>(nil)

  init(_ base: DuplexStream) { self.base = base }

  /// Keeps what is written from now on.
  func hold() { state.withLock { $0 = [] } }
  /// What was kept.
  var held: [UInt8] { state.withLock { $0 ?? [] } }

  func read(into buffer: inout OutputRawSpan) async throws(IoError) -> Int {
    try await base.read(into: &buffer)
  }

  func write(_ bytes: RawSpan) async throws(IoError) {
    let isHeld = state.withLock { held in
      if held == nil { return false }
      unsafe bytes.withUnsafeBytes { unsafe held? += $0 }
      return true
    }
    if !isHeld { try await base.write(bytes) }
  }

  func shutdown() async throws(IoError) { try base.shutdown() }
  func close() { base.close() }
}
