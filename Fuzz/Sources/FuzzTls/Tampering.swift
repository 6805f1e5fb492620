// SPDX-License-Identifier: Apache-2.0
// A client and a server, and what goes from the one to the other by way of a script.

import Culvert
import CulvertTLS
import FuzzSupport

/// What is done to each piece of ciphertext: two bytes of the input each.
struct Script: Sendable {
  private let steps: [UInt8]
  /// Whether the handshake is tampered with, too.
  let fromTheStart: Bool

  init(_ input: ArraySlice<UInt8>, fromTheStart: Bool) {
    steps = Array(input)
    self.fromTheStart = fromTheStart
  }

  var count: Int { steps.count / 2 }

  /// What becomes of a piece; `nil` is the end of the stream.
  func pieces(of piece: [UInt8], step: Int) -> (pieces: [[UInt8]], isWhole: Bool)? {
    guard step < count, !piece.isEmpty else { return ([piece], true) }
    let (kind, argument) = (steps[step * 2], Int(steps[step * 2 + 1]))
    let place = argument % piece.count
    switch kind % 8 {
    case 0: return (piece.map { [$0] }, true)
    case 1: return ([Array(piece[..<place]), Array(piece[place...])], true)
    case 2:
      var changed = piece
      changed[place] ^= 1 << (kind >> 5)
      return ([changed], false)
    case 3: return ([Array(piece[..<place])], false)
    case 4: return ([piece, piece], false)
    case 5:
      // A record of any kind, of any length, with less in it.
      let record = [20 + kind >> 6, 3, 3, UInt8(argument), kind] + [UInt8](repeating: kind, count: argument)
      return ([record, piece], false)
    case 6: return nil
    default: return ([piece], true)
    }
  }
}

/// One connection with somebody in between.
struct Tampering: Sendable {
  private let contexts: Contexts
  private let script: Script

  init(_ contexts: Contexts, _ script: Script) {
    self.contexts = contexts
    self.script = script
  }

  func run() async {
    let (near, far) = DuplexStream.pair(capacity: 1 << 20)
    let middle = Middle(near, script)
    if script.fromTheStart { middle.begin() }
    async let accepted = try? TlsStream.server(over: far, context: contexts.server)
    let connected = try? await TlsStream.client(over: middle, host: "localhost", context: contexts.client)
    guard let client = connected, let server = await accepted else {
      check(!middle.isWhole, "a handshake failed that nobody had touched")
      return
    }
    middle.begin()
    var sent: [UInt8] = []
    for step in 0..<max(1, min(script.count, 16)) {
      let bytes = [UInt8](repeating: UInt8(step), count: 1 + step * step * 150)
      do throws(IoError) {
        try await client.write(bytes)
        sent += bytes
      } catch {
        // What went into records may arrive.
        sent += bytes.prefix(error.bytesWritten)
        break
      }
      if step % 5 == 2 { try? client.updateKeys() }
    }
    try? await client.shutdown()
    middle.end()
    await expect(sent, at: server, unless: middle)
  }

  private func expect(_ sent: [UInt8], at server: TlsStream<DuplexStream>, unless middle: Middle) async {
    var (received, room) = ([UInt8](), 1)
    do throws(IoError) {
      while let some = try await server.read(upTo: room) {
        received += some
        room = room * 3 % 5000 + 1
        check(sent.starts(with: received), "something else arrived than was sent")
      }
      check(received == sent, "of \(sent.count) bytes \(received.count) arrived, and a clean end")
    } catch {
      check(!middle.isWhole, "nobody had touched anything, and yet: \(error)")
      check([.malformed, .unexpectedEnd, .tlsRefused, .tlsFailed].contains(error.code), "\(error)")
    }
    server.close()
  }
}

/// A stream that does what the script says with what is written to it. For one task at a time.
final class Middle: ByteStream, @unchecked Sendable {
  private let base: DuplexStream
  private let script: Script
  private var step: Int?
  private var hasEnded = false
  /// Nothing was changed, or left out, so far.
  private(set) var isWhole = true

  init(_ base: DuplexStream, _ script: Script) {
    self.base = base
    self.script = script
  }

  func begin() { step = step ?? 0 }

  /// Nothing more comes.
  func end() { try? base.shutdown() }

  func read(into buffer: inout OutputRawSpan) async throws(IoError) -> Int {
    try await base.read(into: &buffer)
  }

  func write(_ bytes: RawSpan) async throws(IoError) {
    let piece = unsafe bytes.withUnsafeBytes { unsafe Array($0) }
    guard let now = step else { return try await base.write(piece) }
    step = now + 1
    if hasEnded { return }
    guard let (pieces, isWhole) = script.pieces(of: piece, step: now) else {
      (hasEnded, self.isWhole) = (true, false)
      return try base.shutdown()
    }
    self.isWhole = self.isWhole && isWhole
    for piece in pieces { try await base.write(piece) }
    // In a handshake each side would wait for the other for ever.
    if script.fromTheStart, !isWhole {
      hasEnded = true
      try base.shutdown()
    }
  }

  func shutdown() async throws(IoError) {}
  func close() { base.close() }
}
