// SPDX-License-Identifier: Apache-2.0
// Closing: the peer is told, in TLS, if that can be done at once or soon.

import Culvert

/// How long a peer that does not read may keep a closed stream.
private let farewellLimit = Duration.seconds(1)

extension TlsStream {
  /// Closes both directions: who waits gets `.closed`. The peer is told that this is the end, unless a write is under way, of
  /// which it gets a part. Idempotent, and returns at once; what can't be sent at once is sent in the background, for up to a
  /// second.
  ///
  /// What has come and was not read makes many systems reset the connection, and the peer may lose the last of what was
  /// written: to be sure that it has all, call `shutdown()` and read to the end before.
  public func close() {
    guard let rest = sayFarewell() else { return }
    let base = base
    Task(executorPreference: Worker.current) { await Self.finishClosing(base, rest) }
  }

  /// Closes, and waits until the peer is told, for up to a second. Cancellation ends only the waiting.
  public func closed() async {
    guard let rest = sayFarewell() else { return }
    await Self.finishClosing(base, rest)
  }

  private static func finishClosing(_ base: Base, _ rest: [UInt8]) async {
    try? await withTimeout(farewellLimit) { try await base.write(unsafe rest.span.bytes) }
    base.close()
  }

  /// Refuses everything from now on, and sends what there is to be sent. Returns what of it could not be sent at once; `nil`
  /// when the stream below is closed.
  private func sayFarewell() -> [UInt8]? {
    let wasClosed = engine.withLock { engine in
      defer { engine.isClosed = true }
      return engine.isClosed
    }
    if wasClosed { return nil }
    let isWriting = !writeTurn.tryTake()
    writeTurn.close()
    readTurn.close()
    var rest = isWriting ? [] : farewell()
    if let socket, !rest.isEmpty {
      // An error is as good as an end.
      let count = (try? socket.tryWrite(rest)) ?? nil
      rest.removeFirst(count ?? 0)
    }
    if !rest.isEmpty { return rest }
    closeBase()
    return nil
  }

  /// Closes the stream below, so that what was sent arrives if that can be had.
  func closeBase() {
    if let socket { Self.discardInput(of: socket) }
    base.close()
  }

  /// The ciphertext that is left, and the end. For whoever has the turn to write.
  private func farewell() -> [UInt8] {
    var bytes = unsafe Array(sending.all)
    sending.drop(bytes.count)
    let hasOutput = engine.withLock { engine in
      _ = engine.finish()
      return engine.takeOutput()
    }
    if hasOutput { unsafe bytes += sending.all }
    return bytes
  }

  /// What came and nobody reads, such as a session's ticket: a socket that is closed with some left resets the connection.
  private static func discardInput(of socket: StreamSocket) {
    var (buffer, rounds) = ([UInt8](repeating: 0, count: 4096), 16)
    while rounds > 0, case .some(.some(1...)) = try? socket.tryRead(into: &buffer) { rounds -= 1 }
  }
}
