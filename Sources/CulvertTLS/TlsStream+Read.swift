// SPDX-License-Identifier: Apache-2.0
// Reading: plain text that is there, else more ciphertext.

public import Culvert

extension TlsStream {
  /// Appends what is there to `buffer`, once something is; returns how many bytes, 0 when the peer has ended its stream.
  ///
  /// Throws `.unexpectedEnd` when the stream below ended and TLS did not: what came may have been cut off. Throws `.malformed`
  /// for records that are none, `.tlsRefused` for the peer's alerts, `.closed`, `.cancelled`, and what the stream below throws; nothing
  /// that was read is lost by cancellation.
  public func read(into buffer: inout OutputRawSpan) async throws(IoError) -> Int {
    if buffer.freeCapacity == 0 { return 0 }
    try await readTurn.take(during: "read from \(self)")
    defer { readTurn.give() }
    var step = try readNow(into: &buffer)
    while true {
      if let count = try await outcome(of: step) { return count }
      try await letWriterRead()
      if let socket {
        let count = try unsafe await socket.takeChunk { chunk in
          step = unsafe readNow(into: &buffer, lending: chunk)
        }
        if count > 0 { continue }
        engine.withLock { $0.endInput() }
      } else {
        try await feed()
      }
      step = try readNow(into: &buffer)
    }
  }
}

extension TlsStream {
  /// What is there.
  private func readNow(into buffer: inout OutputRawSpan) throws(IoError) -> TlsStep {
    if engine.withLock({ $0.isClosed }) { throw IoError(.closed, during: "read from \(self)") }
    return unsafe readNow(into: &buffer, lending: nil)
  }

  private func readNow(into buffer: inout OutputRawSpan, lending chunk: UnsafeRawBufferPointer?) -> TlsStep {
    unsafe buffer.withUnsafeMutableBytes { (memory, used) in
      let room = unsafe UnsafeMutableRawBufferPointer(rebasing: memory[used...])
      let step = engine.withLock { engine in
        if let chunk = unsafe chunk { return unsafe engine.read(into: room, lending: chunk) }
        return unsafe engine.read(into: room)
      }
      if case .done(let count) = step { used += count }
      return step
    }
  }

  /// What a read returns; `nil` if it has to wait.
  private func outcome(of step: TlsStep) async throws(IoError) -> Int? {
    switch step {
    case .done(let count):
      await sendWhatReadingMade()
      return count
    case .ended: return 0
    case .wantsInput:
      await sendWhatReadingMade()
      return nil
    case .failed(let failure):
      await sendAlert()
      throw failure.error(during: "read from \(self)")
    }
  }

  /// A write may need what only reading brings in, in the middle of a handshake's message: it has the turn for a while.
  private func letWriterRead() async throws(IoError) {
    while engine.withLock({ $0.writerWaits != nil }) {
      readTurn.give()
      try await readTurn.take(during: "read from \(self)")
    }
  }

  /// Reads some ciphertext, for whoever has the turn to read.
  func feed() async throws(IoError) {
    if let socket {
      let count = try unsafe await socket.takeChunk { chunk in engine.withLock { unsafe $0.feed(chunk) } }
      if count == 0 { engine.withLock { $0.endInput() } }
      return
    }
    let room = CiphertextRoom()
    let count = try await room.fill(from: base)
    engine.withLock { engine in
      if count == 0 { engine.endInput() } else { unsafe engine.feed(room.first(count)) }
    }
  }
}

/// Memory to read ciphertext into from what is no socket: a record, of the longest.
@safe private final class CiphertextRoom {
  private let storage = UnsafeMutableRawBufferPointer.allocate(byteCount: 16_384 + 256 + 5, alignment: 16)

  deinit { unsafe storage.deallocate() }

  func fill(from reader: some ByteReader) async throws(IoError) -> Int {
    var output = unsafe OutputRawSpan(buffer: storage, initializedCount: 0)
    let count = try await reader.read(into: &output)
    _ = unsafe output.finalize(for: storage)
    return count
  }

  func first(_ count: Int) -> UnsafeRawBufferPointer {
    unsafe UnsafeRawBufferPointer(rebasing: storage[..<count])
  }
}
