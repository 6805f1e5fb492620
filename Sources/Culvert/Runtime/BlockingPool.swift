// SPDX-License-Identifier: Apache-2.0
// Calls that block, on threads of their own, for tasks that don't.
//
// A call that blocks can't be given up: getaddrinfo(3) takes half a minute when its name servers don't answer. So a task that
// is cancelled or out of time goes its way at once, and what its thread finds later is dropped. libuv's pool is not used: it
// is one for the whole process, four threads that everybody's files wait for too, and has no bound on what waits.
// A thread is started for a call, goes on with those that wait, and ends when there are none: starting one is cheap
// beside what blocks, and no thread is left that nobody asked for.

/// Threads for calls that block: so many at once, and so many calls that wait for one.
///
/// ```swift
/// let files = BlockingPool(threads: 4, waiting: 100)
/// let text = try await offload(on: files) { try String(contentsOfFile: path, encoding: .utf8) }
/// ```
/// Its threads end when nothing is to be called. Safe from any thread.
public final class BlockingPool: Sendable {
  /// With 64 threads, and 1,024 calls that may wait for one.
  public static let shared = BlockingPool()

  private struct State {
    var waiting: [any BlockingWork] = []
    /// Running, or about to be started.
    var threads = 0
  }
  private enum Place { case onThread, inQueue, none }

  private let state = Locked(State())
  private let threads: Int
  private let waiting: Int
  private let thread: ThreadConfiguration
  private let suffix: String
  private let origin = ProcessOrigin()

  /// A pool with threads of its own.
  ///
  /// - Parameters:
  ///   - threads: how many calls are made at once; at least 1.
  ///   - waiting: how many more may wait for a thread.
  ///   - thread: how the threads are made; "-block" follows their name. What the system refuses is what a call throws.
  public convenience init(
    threads: Int = 64, waiting: Int = 1024, thread: ThreadConfiguration = ThreadConfiguration()
  ) {
    self.init(threads: threads, waiting: waiting, thread: thread, suffix: "block")
  }

  init(threads: Int, waiting: Int, thread: ThreadConfiguration, suffix: String) {
    self.threads = max(1, threads)
    self.waiting = max(0, waiting)
    self.thread = thread
    self.suffix = suffix
  }

  /// Threads that make a call now, and calls that wait for one.
  public var load: (threads: Int, waiting: Int) { state.withLock { ($0.threads, $0.waiting.count) } }

  /// Has a thread make the call, and waits for that as long as `limit` says. What `body` returns or throws is the result;
  /// what is thrown is why there is none.
  func call<R: Sendable, E>(
    within limit: Duration, during operation: String, _ body: @escaping @Sendable () throws(E) -> R
  ) async throws(IoError) -> Result<R, E> {
    try origin.check(during: operation)
    if Task.isCancelled { throw IoError(.cancelled, during: operation) }
    let timers = try IoDriverHandle.current.timers
    let call = BlockingCall(timers: timers, deadline: timers.deadline(after: limit), body)
    try begin(call, during: operation)
    let reason = await call.wait(for: ())
    let (answer, hasBegun) = call.leave()
    if let answer {
      return try answer.mapError { (refusal) in refusal.of("\(operation) (\(refusal.operation))") }.get()
    }
    state.withLock { $0.waiting.removeAll { $0 === call } }
    let goesOn = hasBegun ? ", which goes on" : ""
    switch reason {
    case .cancelled: throw IoError(.cancelled, during: operation + goesOn)
    case .shutDown: throw IoError(.shutDown, during: operation + goesOn)
    default: throw IoError(.timedOut, during: operation + goesOn)
    }
  }

  private func begin(_ call: any BlockingWork, during operation: String) throws(IoError) {
    let place: Place = state.withLock { state in
      if state.threads < threads {
        state.threads += 1
        return .onThread
      }
      if state.waiting.count >= waiting { return .none }
      state.waiting.append(call)
      return .inQueue
    }
    switch place {
    case .onThread: startThread(with: call)
    case .inQueue: break
    case .none: throw IoError(.limitReached, during: operation + " while \(waiting) others are waiting")
    }
  }

  private func startThread(with call: any BlockingWork) {
    do throws(IoError) {
      try Thread.start(thread, name: "\(thread.name)-\(suffix)") { self.run(call) }
    } catch {
      // Those that are in the queue may count on this thread alone.
      let stranded = state.withLock { state in
        state.threads -= 1
        if state.threads > 0 {
          state.waiting.insert(call, at: 0)
          return [any BlockingWork]()
        }
        defer { state.waiting = [] }
        return [call] + state.waiting
      }
      for one in stranded { one.refuse(error) }
    }
  }

  /// What a thread does.
  func run(_ first: any BlockingWork) {
    var next: (any BlockingWork)? = first
    while let call = next {
      call.make()
      next = state.withLock { state in
        if !state.waiting.isEmpty { return state.waiting.removeFirst() }
        state.threads -= 1
        return nil
      }
    }
  }
}
