// SPDX-License-Identifier: Apache-2.0
// Writing: records are made of plain text and sent, a bounded piece at a time.

public import Culvert

/// How much plain text is made into records at a time: four of the longest.
private let pieceSize = 65_536

extension TlsStream {
  /// Encrypts and writes all of `bytes`; waits while the stream below has no room. Those of several tasks are never interleaved.
  ///
  /// Throws `.brokenPipe` after `shutdown()`, `.closed`, `.cancelled`, and what the stream below throws. The error's `bytesWritten`
  /// says how many bytes went into records: what of those is not sent yet is sent by the next `write`, `shutdown` or
  /// `close`.
  public func write(_ bytes: RawSpan) async throws(IoError) {
    try await writeTurn.take(during: "write to \(self)")
    var written = 0
    do throws(IoError) {
      repeat {
        let end = min(bytes.byteCount, written + pieceSize)
        try await flush()
        try await encrypt(bytes, written..<end)
        written = end
        try await flush()
      } while written < bytes.byteCount
    } catch {
      await giveWriteTurn()
      throw error.after(written)
    }
    await giveWriteTurn()
  }

  /// Says, in TLS and on the stream below, that nothing more comes, once all that was written has gone out; reading goes on.
  ///
  /// Throws `.closed`, `.cancelled`, and what the stream below throws. Call it again if it was cancelled.
  public func shutdown() async throws(IoError) {
    try await writeTurn.take(during: "shut down \(self)")
    defer { writeTurn.give() }
    try await flush()
    while case .wantsInput = try finish() { try await feedForWriter("shut down \(self)") }
    try await flush()
    try await base.shutdown()
  }

  /// Takes new keys for what we send, and, if `ofPeer`, asks the peer to do so too; they come with the next write. TLS 1.3 only:
  /// throws `.unsupported` with another version. Those that are due, after some 2^23 records, are taken without this.
  public func updateKeys(ofPeer: Bool = false) throws(IoError) {
    if !engine.withLock({ $0.updateKeys(ofPeer: ofPeer) }) {
      throw IoError(.unsupported, during: "take new keys for \(self)")
    }
  }
}

extension TlsStream {
  private func finish() throws(IoError) -> TlsStep {
    let step = try engine.withLock { (engine) throws(IoError) in
      if engine.isClosed { throw IoError(.closed, during: "shut down \(self)") }
      let step = engine.finish()
      engine.noteWriter(step)
      return step
    }
    if case .failed(let failure) = step { throw failure.error(during: "shut down \(self)") }
    return step
  }

  /// Makes records of some of `bytes`.
  private func encrypt(_ bytes: RawSpan, _ range: Range<Int>) async throws(IoError) {
    while true {
      let step = try engine.withLock { (engine) throws(IoError) -> TlsStep in
        if engine.isClosed { throw IoError(.closed, during: "write to \(self)") }
        if range.isEmpty { return .done(0) }
        if engine.hasFinished { throw IoError(.brokenPipe, during: "write to \(self)") }
        let step = unsafe bytes.withUnsafeBytes { all in
          unsafe engine.write(UnsafeRawBufferPointer(rebasing: all[range]))
        }
        engine.noteWriter(step)
        return step
      }
      switch step {
      case .done: return
      case .failed(let failure): throw failure.error(during: "write to \(self)")
      case .ended: throw IoError(.brokenPipe, during: "write to \(self)")
      case .wantsInput: try await feedForWriter("write to \(self)")
      }
    }
  }

  /// A handshake's message has come in part, and OpenSSL writes nothing before the rest.
  private func feedForWriter(_ operation: @autoclosure () -> String) async throws(IoError) {
    defer { engine.withLock { $0.writerWaits = nil } }
    try await readTurn.take(during: operation())
    defer { readTurn.give() }
    // The reader may have brought it before.
    if engine.withLock({ $0.writerWaits == $0.inputCount }) { try await feed() }
  }

  /// Sends all ciphertext that there is. For whoever has the turn to write.
  func flush() async throws(IoError) {
    while true {
      if sending.count == 0, !engine.withLock({ $0.takeOutput() }) { return }
      do throws(IoError) {
        try await base.write(unsafe sending.all.bytes)
      } catch {
        sending.drop(error.bytesWritten)
        throw error
      }
      sending.drop(sending.count)
    }
  }

  /// Gives the turn up. What a reader has made meanwhile, and found the turn taken, is sent then.
  private func giveWriteTurn() async {
    writeTurn.give()
    await sendWhatReadingMade()
  }

  /// Reading has made something that is to be sent, such as the refusal of a renegotiation. If it can't be sent, that is for the next
  /// write to find out; if somebody is writing, it goes out behind that.
  func sendWhatReadingMade() async {
    guard engine.withLock({ $0.hasOutput }), writeTurn.tryTake() else { return }
    try? await flush()
    writeTurn.give()
  }

  /// The connection has failed, and the peer may be told why: soon, or not at all.
  func sendAlert() async {
    guard engine.withLock({ $0.hasOutput }) else { return }
    try? await withTimeout(.seconds(1)) { await self.sendWhatReadingMade() }
  }
}
