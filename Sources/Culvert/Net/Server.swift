// SPDX-License-Identifier: Apache-2.0
// A listener's connections, each with a handler of its own, from the first to a good end.

import Synchronization

/// Serves the connections of a listener until it is told to drain: then it takes no more, lets the handlers finish for a
/// while, cancels those that are left, and waits for their end.
///
/// ```swift
/// let server = listener.server(grace: .seconds(10)) { stream, server in
///   while try await server.waitForRequest(on: stream) { try await answer(stream) }
/// }
/// let report = try await runtime.run(server, until: signals)
/// ```
/// `run` and `drain` are what Swift's ServiceLifecycle asks of a service:
///
/// ```swift
/// try await withGracefulShutdownHandler { try await server.run() } onGracefulShutdown: { server.drain() }
/// ```
/// `ListenerSocket.server` makes one. Safe to use from any thread.
public final class Server: Sendable, CustomStringConvertible {
  typealias Attend = @Sendable (Server) async throws(IoError) -> Void

  /// "server of listener on ADDRESS".
  public let description: String
  private let listening: BridgedFd
  private let maximumConnections: Int?
  private let grace: Duration
  /// Accepts and handles connections, until their end.
  private let attend: Attend
  private let state = Locked(ServerState(late: Server.mostLate))
  private let hasDeadline = Atomic<Bool>(false)
  /// Those of the task that runs it, once it does.
  private let timers = Locked<TimerQueue?>(nil)
  /// Opens when the server begins to drain.
  private let drained = Latch()
  /// The streams on which tasks wait for a request, by task.
  private let idle = Locked<[TaskIdentity: BridgedFd]>([:])

  /// Connections that the kernel had made when the drain began, and that are served all the same. A backlog holds no more
  /// on Linux, unless somebody has raised `net.core.somaxconn`; without a bound clients that keep coming would be let in for ever.
  private static let mostLate = 4096

  init(of listener: NetSocket, maximumConnections: Int?, grace: Duration, attend: @escaping Attend) {
    description = "server of \(listener)"
    listening = listener
    self.maximumConnections = maximumConnections.map { max(1, $0) }
    self.grace = grace
    self.attend = attend
  }

  /// Accepts connections and runs their handlers, until the listener is closed or `drain` is called, and all have ended.
  ///
  /// Connections are accepted by a child of the calling task: while the worker of that is held up, nobody is, nor
  /// is anybody cut. Their handlers run on the workers of the runtime at hand. After a drain the listener is closed, and its address is free. A handler that ignores its
  /// cancellation is awaited all the same.
  ///
  /// Cancelling the task cancels the handlers, waits for their end, and throws `.cancelled`. Throws what else `accept` throws,
  /// after the handlers' end; `.unsupported` the second time that it is called. A runtime that ends while the server drains cuts
  /// what is left. `accept4(2)`.
  @discardableResult
  public func run() async throws(IoError) -> ServeReport {
    let timers = try IoDriverHandle.current.timers
    self.timers.withLock { $0 = timers }
    guard state.withLock({ $0.start() }) else { throw IoError(.unsupported, during: "run \(self) twice") }
    try await attend(self)
    return state.withLock { $0.report }
  }

  /// Has `run` take no more connections, let the handlers finish for as long as the server's grace, or for `within`, cancel
  /// those that are left, and return.
  ///
  /// Connections that the kernel has made already are served, too, up to 4,096 of them; those above `maximumConnections`, or for
  /// which there is no descriptor, are reset. Who waits in `waitForRequest` is told at once.
  ///
  /// Returns at once. Idempotent: the deadline is the earliest of all calls, so `drain(within: .zero)` cancels the handlers now.
  /// Before `run` it has that serve what has come, and return.
  public func drain(within: Duration? = nil) {
    let deadline = timers.withLock { timers in
      timers?.deadline(after: within ?? grace) ?? MonotonicTime.after(within ?? grace)
    }
    drain(by: deadline)
  }

  private func drain(by deadline: UInt64) {
    let (latch, hasStarted) = state.withLock { state in
      defer { hasDeadline.store(true, ordering: .releasing) }
      return state.drain(by: deadline)
    }
    // After the flag: who is woken asks for the reason there.
    if hasStarted { listening.endWaits() }
    latch?.open()
    drained.open()
    let waiting = idle.withLock { Array($0.values) }
    for stream in waiting { stream.nudge(.readable) }
  }

  /// Whether `drain` was called: the request in hand should be the last of its connection, and say so if it can.
  public var isDraining: Bool { hasDeadline.load(ordering: .acquiring) }

  /// Returns when the server drains: for whoever has to say good-bye. Throws `.cancelled`.
  public func draining() async throws(IoError) {
    try await drained.passed(during: "wait until \(self) drains")
  }

  /// How many connections have a handler that runs.
  public var connectionCount: Int { state.withLock { $0.open } }

  /// For a handler, between two requests: waits until there is something to read from `stream`, be it its end; false when the
  /// server drains and nothing has come, so that an idle connection ends at once, and is not cut.
  ///
  /// A request that has come in part is one: read the rest without asking here. Throws `.closed`, `.cancelled`, `.shutDown`.
  /// `poll(2)` where it is not known whether something has come, which after a read that was not filled it is.
  public func waitForRequest(on stream: NetSocket) async throws(IoError) -> Bool {
    let task = TaskIdentity.current
    // First of all: whoever drains raises the flag, and then looks for those who wait.
    idle.withLock { $0[task] = stream }
    defer { idle.withLock { _ = $0.removeValue(forKey: task) } }
    while !isDraining {
      if stream.mayBeReady(.readable) {
        if try stream.isReadable(during: "wait for a request on \(stream)") { return true }
        stream.clearReadiness(.readable)
        // That may have been a nudge.
        if isDraining { break }
      }
      try await stream.reported(.readable, during: "wait for a request on \(stream)")
      if !isDraining { return true }
    }
    return try stream.isReadable(during: "wait for a request on \(stream)")
  }
}

extension Server {
  /// The same for a reader, which may have read some of the next request already. Throws what that throws.
  ///
  /// ```swift
  /// while try await server.waitForRequest(on: reader), let request = try await reader.readLine() { … }
  /// ```
  public func waitForRequest<Stream: NetSocket>(on reader: BufferedReader<Stream>) async throws(IoError)
    -> Bool
  {
    if reader.bufferedCount > 0 { return true }
    return try await waitForRequest(on: reader.source)
  }
}

// MARK: for the task that accepts

extension Server {
  /// Returns when there is room for one more connection; false when there is none and the server drains. Throws `.cancelled`.
  func hasRoom() async throws(IoError) -> Bool {
    guard let maximumConnections else { return true }
    while let latch = state.withLock({ $0.wait(forAtMost: maximumConnections - 1) }) {
      if isDraining { return false }
      try await latch.passed(during: "wait for the end of a connection of \(self)")
    }
    return true
  }

  /// Whether one more connection may be taken though the server drains.
  func takesLate() -> Bool { state.withLock { $0.takeLate() } }

  func begin() { state.withLock { $0.begin() } }

  func end(hasFailed: Bool) { state.withLock { $0.end(hasFailed: hasFailed) }?.open() }

  /// Returns when all handlers have ended; false when their time is up, and they are to be cancelled. Throws `.cancelled`.
  func haveEnded() async throws(IoError) -> Bool {
    let timers = try IoDriverHandle.current.timers
    while true {
      let (awaited, deadline) = state.withLock { ($0.wait(forAtMost: 0), $0.deadline) }
      guard let latch = awaited else {
        // They may have ended because of that.
        if Task.isCancelled {
          throw IoError(.cancelled, during: "wait for the end of the connections of \(self)")
        }
        return true
      }
      if let deadline, deadline <= timers.now { break }
      let end = GraceEnd(latch)
      defer { timers.remove(end) }
      // A runtime that ends wakes us, and has no timers any more.
      if let deadline, !timers.add(end, at: deadline) { break }
      try await latch.passed(during: "wait for the end of the connections of \(self)")
    }
    state.withLock { $0.cut() }
    return false
  }
}

/// Wakes who waits for the handlers' end when their time is up.
private final class GraceEnd: TimedAction {
  private let latch: Latch
  init(_ latch: Latch) { self.latch = latch }

  func timeHasCome(_ reason: WakeReason) { latch.open() }
}
