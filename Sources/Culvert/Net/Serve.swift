// SPDX-License-Identifier: Apache-2.0
// Serving connections: each one a child task on a worker.

extension TcpListener {
  /// Runs `handler` for each connection, as a child task on a worker of the runtime at hand, in turn.
  ///
  /// ```swift
  /// try await listener.serve { stream in
  ///   while let chunk = try await stream.read(upTo: 4096) { try await stream.write(chunk) }
  /// }
  /// ```
  /// A connection is closed when its handler returns or throws. What a handler throws ends only its own connection,
  /// and goes to `onError` with the connection it was about.
  ///
  /// Returns when the listener was closed and all handlers have ended. Cancelling the task cancels the handlers, waits
  /// for their end, and throws `.cancelled`. When the process or the system has no descriptor or memory left, accepting
  /// pauses for 5 to 160 ms. Throws what else `accept` throws, after the handlers' end.
  public func serve(
    onError: @escaping @Sendable (any Error, TcpStream) -> Void = { _, _ in },
    _ handler: @escaping @Sendable (TcpStream) async throws -> Void
  ) async throws(IoError) {
    let runtime = try Runtime.atHand
    let failure = await withDiscardingTaskGroup(returning: IoError?.self) { group in
      var pause = AcceptPause()
      while true {
        do throws(IoError) {
          let stream = try await accept()
          pause.reset()
          group.addTask(executorPreference: runtime.nextInTurn) {
            await Self.run(handler, stream, onError)
          }
        } catch {
          if error.code == .closed { return nil }
          if await pause.passes(error) { continue }
          group.cancelAll()
          return error
        }
      }
    }
    if let failure { throw failure }
  }

  private static func run(
    _ handler: @Sendable (TcpStream) async throws -> Void, _ stream: TcpStream,
    _ onError: @Sendable (any Error, TcpStream) -> Void
  ) async {
    do {
      try await TaskOwner.scope { try await handler(stream) }
    } catch {
      onError(error, stream)
    }
    stream.close()
  }
}

/// What to do about an accept that failed for want of descriptors or memory: they may come back.
private struct AcceptPause {
  private static let shortest = Duration.milliseconds(5)
  private static let longest = Duration.milliseconds(160)
  private var next = shortest

  mutating func reset() { next = Self.shortest }

  /// Waits, and returns true, if another try is worth while.
  mutating func passes(_ error: IoError) async -> Bool {
    guard error.code == .tooManyDescriptors || error.code == .outOfMemory else { return false }
    let pause = next
    next = min(next * 2, Self.longest)
    do throws(IoError) {
      try await sleep(for: pause)
      return true
    } catch {
      return error.code != .shutDown && error.code != .cancelled
    }
  }
}
