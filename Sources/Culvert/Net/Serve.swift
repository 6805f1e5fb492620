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
  /// for their end, and throws `.cancelled`. Throws what else `accept` throws, after the handlers' end.
  public func serve(
    onError: @escaping @Sendable (any Error, TcpStream) -> Void = { _, _ in },
    _ handler: @escaping @Sendable (TcpStream) async throws -> Void
  ) async throws(IoError) {
    let runtime = try Runtime.atHand
    let failure = await withDiscardingTaskGroup(returning: IoError?.self) { group in
      while true {
        do throws(IoError) {
          let stream = try await accept()
          group.addTask(executorPreference: runtime.nextInTurn) {
            await Self.run(handler, stream, onError)
          }
        } catch {
          if error.code == .closed { return nil }
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
