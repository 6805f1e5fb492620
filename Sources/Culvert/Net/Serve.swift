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
  /// and goes to `onError` with the connection it was about. Connections are accepted by a child of the calling task: while the worker
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

  /// All that a server does with connections. They are accepted by one child task after the other, each of which is the parent of
  /// those that it has accepted.
  private func attend(
    _ server: Server, _ handler: @escaping @Sendable (Stream) async throws -> Void,
    _ onError: @escaping @Sendable (any Error, Stream) -> Void
  ) async throws(IoError) {
    let service = Service(
      server, on: try Runtime.atHand,
      // Nobody else's streams come there.
      { try await handler(unsafe unsafeDowncast($0, to: Stream.self)) },
      { onError($0, unsafe unsafeDowncast($1, to: Stream.self)) })
    let shares = service.shares
    let failure = try? await withThrowingDiscardingTaskGroup(returning: IoError?.self) { group in
      do throws(IoError) {
        while true {
          let batch = Batch()
          group.addTask { await TaskOwner.scope { await self.attend(batch, of: service, shares) } }
          if try await batch.isLast { break }
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

  /// Accepts a batch of connections, and waits for the end of their handlers.
  private func attend(_ batch: Batch, of service: Service, _ shares: [Share]) async {
    // None of its tasks throws. One that does not say so costs each task two frames, and its start an allocation.
    try? await withThrowingDiscardingTaskGroup { group in
      do throws(IoError) {
        for _ in 0..<Batch.size {
          guard let stream = try await nextConnection(for: service.server) else {
            return batch.end(.success(true))
          }
          service.begin(stream, shares, in: &group)
        }
        batch.end(.success(false))
      } catch {
        batch.end(.failure(error))
      }
    }
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

/// Some of a server's connections. A group's task that ends is looked for among all the others of its group: in one group of
/// 10,000, short connections would cost four times as much.
private final class Batch: Sendable {
  static let size = 256

  private let outcome = Locked(Result<Bool, IoError>.success(true))
  private let latch = Latch()

  /// No more will be accepted; says whether it was the last batch.
  func end(_ outcome: Result<Bool, IoError>) {
    self.outcome.withLock { $0 = outcome }
    latch.open()
  }

  /// Waits until all are accepted. Cancellation reaches who accepts them.
  var isLast: Bool {
    get async throws(IoError) {
      _ = await latch.waitThoughCancelled(for: ())
      return try outcome.withLock { $0 }.get()
    }
  }
}

/// What the connections of a server have in common. Not generic, as its tasks are not: that would be looked up for each of them.
private final class Service: Sendable {
  typealias Handler = @Sendable (StreamSocket) async throws -> Void
  typealias OnError = @Sendable (any Error, StreamSocket) -> Void

  let server: Server
  private let runtime: Runtime
  private let handler: Handler
  private let onError: OnError

  init(_ server: Server, on runtime: Runtime, _ handler: @escaping Handler, _ onError: @escaping OnError) {
    self.server = server
    self.runtime = runtime
    self.handler = handler
    self.onError = onError
  }

  /// Begins a task for `stream` on the worker whose turn it is.
  func begin(
    _ stream: StreamSocket, _ shares: [Share], in group: inout ThrowingDiscardingTaskGroup<any Error>
  ) {
    server.begin()
    let worker = runtime.nextInTurn
    let share = shares[worker.index]
    share.accepted.streams.withLock { $0.append(stream) }
    group.addTask(executorPreference: worker, operation: share.attendNext)
  }

  var shares: [Share] { runtime.workers.map { _ in Share(of: self) } }

  @inline(__always)
  func attend(_ stream: StreamSocket) async {
    let owner = TaskOwner.enter(for: stream)
    var failure: (any Error)?
    do {
      try await handler(stream)
    } catch {
      failure = error
    }
    owner.leave()
    end(stream, after: failure)
  }

  private func end(_ stream: StreamSocket, after error: (any Error)?) {
    if let error { onError(error, stream) }
    stream.close()
    server.end(hasFailed: error != nil)
  }
}

/// A worker's connections whose tasks have not begun. They are alike: whichever begins first attends to the first connection. So all of
/// them run the same closure, and none has to have one of its own.
private struct Share: Sendable {
  final class Accepted: Sendable { let streams = Locked(JobQueue<StreamSocket>()) }

  let accepted: Accepted
  let attendNext: @Sendable @isolated(any) () async throws -> Void

  init(of service: Service) {
    let accepted = Accepted()
    self.accepted = accepted
    attendNext = {
      guard let stream = accepted.streams.withLock({ $0.popFirst() }) else { return }
      await service.attend(stream)
    }
  }
}
