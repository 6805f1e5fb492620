// SPDX-License-Identifier: Apache-2.0
// Serving connections: each one a child task on a worker.

extension ListenerSocket {
  /// Runs `handler` for each connection, as a child task on a worker of the runtime at hand, in turn.
  ///
  /// ```swift
  /// try await listener.serve { stream in
  ///   while let chunk = try await stream.read(upTo: 4096) { try await stream.write(chunk) }
  /// }
  /// ```
  /// A connection is closed when its handler returns or throws. What a handler throws ends only its own connection,
  /// and goes to `onError` with the connection it was about. Connections are accepted by the calling task: while the worker
  /// of that is held up, nobody is; a handler that blocks its own worker holds up those that share it. `maximumConnections` is
  /// as `server` has it, which also makes something that can be told to drain.
  ///
  /// Returns when the listener was closed and all handlers have ended. Cancelling the task cancels the handlers, waits
  /// for their end, and throws `.cancelled`. Throws what else `accept` throws, after the handlers' end.
  public func serve(
    maximumConnections: Int? = nil, onError: @escaping @Sendable (any Error, Stream) -> Void = { _, _ in },
    _ handler: @escaping @Sendable (Stream) async throws -> Void
  ) async throws(IoError) {
    try await server(maximumConnections: maximumConnections, onError: onError, handler).run()
  }

  /// A server of the connections that come here, which `Server.run` starts and `Server.drain` ends.
  ///
  /// `handler` runs for each connection as a child task of `run`, on the workers of its runtime in turn; a worker that is held up
  /// gets its share all the same, and those wait for it. A connection is closed when its handler returns or throws. What a handler
  /// throws, its cancellation too, ends only its own connection, and goes to `onError` with the connection it was about.
  ///
  /// While `maximumConnections` have a handler (at least 1 may), nobody is accepted: who comes waits in the kernel's backlog until
  /// one ends. `grace` is how long handlers may go on once the server drains.
  public func server(
    maximumConnections: Int? = nil, grace: Duration = .seconds(10),
    onError: @escaping @Sendable (any Error, Stream) -> Void = { _, _ in },
    _ handler: @escaping @Sendable (Stream) async throws -> Void
  ) -> Server {
    Server(of: self, maximumConnections: maximumConnections, grace: grace) { (server) throws(IoError) in
      try await self.attend(server, handler, onError)
    }
  }

  /// As `server(maximumConnections:grace:onError:_:)`, for handlers that have to know when the server drains: they are given it.
  public func server(
    maximumConnections: Int? = nil, grace: Duration = .seconds(10),
    onError: @escaping @Sendable (any Error, Stream) -> Void = { _, _ in },
    _ handler: @escaping @Sendable (Stream, Server) async throws -> Void
  ) -> Server {
    Server(of: self, maximumConnections: maximumConnections, grace: grace) { (server) throws(IoError) in
      try await self.attend(server, { try await handler($0, server) }, onError)
    }
  }

  /// All that a server does with connections.
  private func attend(
    _ server: Server, _ handler: @escaping @Sendable (Stream) async throws -> Void,
    _ onError: @escaping @Sendable (any Error, Stream) -> Void
  ) async throws(IoError) {
    let runtime = try Runtime.atHand
    // None of its tasks throws. One that does not say so costs each task two frames, and its start an allocation.
    let failure = try? await withThrowingDiscardingTaskGroup(returning: IoError?.self) { group in
      do throws(IoError) {
        while let stream = try await nextConnection(for: server) {
          server.begin()
          let attendance = Attendance(stream, server, handler, onError)
          group.addTask(executorPreference: runtime.nextInTurn) { await attendance.run() }
        }
        if server.isDraining { close() }
        if try await !server.haveEnded() { group.cancelAll() }
        return nil
      } catch {
        group.cancelAll()
        return error
      }
    }
    if server.isDraining { await closed() }
    if let failure = failure ?? nil { throw failure }
  }

  /// The next connection; `nil` when the listener is closed, or the server drains and has taken those that had come.
  private func nextConnection(for server: Server) async throws(IoError) -> Stream? {
    guard try await server.hasRoom() else { return nil }
    if !server.isDraining {
      do throws(IoError) {
        return try await accept()
      } catch {
        if error.code != .closed { throw error }
      }
    }
    while server.isDraining, server.takesLate() {
      do throws(IoError) {
        return try await acceptNow()
      } catch {
        if error.code == .cancelled { throw error }
        // Anything else, such as want of descriptors, is no reason to wait now.
        if !Self.isOfOneConnection(error) { return nil }
      }
    }
    return nil
  }
}

/// A connection and its handler: all that its task needs, in one object, so that the frames of the task are small.
private final class Attendance<Stream: StreamSocket>: OwnedWork {
  private let stream: Stream
  private let server: Server
  private let handler: @Sendable (Stream) async throws -> Void
  private let onError: @Sendable (any Error, Stream) -> Void

  init(
    _ stream: Stream, _ server: Server, _ handler: @escaping @Sendable (Stream) async throws -> Void,
    _ onError: @escaping @Sendable (any Error, Stream) -> Void
  ) {
    self.stream = stream
    self.server = server
    self.handler = handler
    self.onError = onError
  }

  var source: BridgedFd { stream.bridge }

  @inline(__always)
  func body() async throws { try await handler(stream) }

  func run() async {
    do {
      try await TaskOwner.scope(self)
      end(after: nil)
    } catch {
      end(after: error)
    }
  }

  private func end(after error: (any Error)?) {
    if let error { onError(error, stream) }
    stream.close()
    server.end(hasFailed: error != nil)
  }
}
