// SPDX-License-Identifier: Apache-2.0
// A set of workers: starting them, spreading tasks over them, ending them.

import Synchronization

/// Worker threads that run tasks and poll their sockets.
///
/// Most programs enter through `withRuntime`, or through `Runtime.blockOn` where `main` is synchronous. A task runs on
/// a worker when `spawn`, `TcpListener.serve`, or a task group's `addTask(executorPreference:)` put it there; a bare
/// `Task {}` does not, and each of its waits costs a hop between threads.
public final class Runtime: Sendable {
  /// How a runtime is made.
  public struct Configuration: Sendable, Hashable {
    /// How many workers; at least 1. One for each processor by default.
    public var workers = Platform.processorCount
    /// Name, processors, scheduling and stack of the workers' threads.
    public var thread = ThreadConfiguration()
    /// The bounds of each worker.
    public var limits = Limits()
    /// What its timers go by, if it is not the system's clock.
    package var time: VirtualTime?

    /// The defaults, with that many workers.
    public init(workers: Int? = nil) {
      if let workers { self.workers = workers }
    }
  }

  /// The workers, by number.
  public let workers: [Worker]
  private let nextWorker = Atomic<Int>(0)

  /// Makes the workers, without threads.
  init(unstarted configuration: Configuration) throws(IoError) {
    guard configuration.workers >= 1 else {
      throw IoError(.invalidArgument, during: "start a runtime with \(configuration.workers) workers")
    }
    var workers: [Worker] = []
    for index in 0..<configuration.workers {
      do throws(IoError) {
        workers.append(try Worker(index: index, limits: configuration.limits, time: configuration.time))
      } catch {
        for worker in workers { worker.dispose() }
        throw error
      }
    }
    self.workers = workers
    for worker in workers { unsafe worker.runtime = self }
  }

  /// Starts a runtime. It ends with `shutDown`, or when its last reference is dropped.
  ///
  /// Throws what the system refuses: threads, descriptors, a scheduling policy, a processor. `pthread_create(3)`.
  public convenience init(_ configuration: Configuration = Configuration()) throws(IoError) {
    try self.init(unstarted: configuration)
    try start(workers[...], configuration.thread)
  }

  deinit {
    for worker in workers { worker.stop() }
  }

  /// Starts threads for `some` of the workers; if that fails, all of the runtime's workers are ended.
  func start(_ some: ArraySlice<Worker>, _ configuration: ThreadConfiguration) throws(IoError) {
    for worker in some {
      do throws(IoError) {
        try Thread.start(configuration, name: "\(configuration.name)-\(worker.index)") { worker.run() }
      } catch {
        for started in some[..<worker.index] { started.stop() }
        for unstarted in workers[..<some.startIndex] + workers[worker.index...] { unstarted.dispose() }
        throw error
      }
    }
  }

  // MARK: tasks

  /// Runs `body` as a task of its own on a worker: the given one, or the next in turn.
  ///
  /// ```swift
  /// let answer = runtime.spawn { try await stream.read(upTo: 4096) }
  /// ```
  /// The task is not a child of the caller's: keep it, and cancel it or await its value. Its waits throw `.shutDown`
  /// when the runtime ends.
  @discardableResult
  public func spawn<R: Sendable>(
    on worker: Worker? = nil, _ body: @escaping @concurrent @Sendable () async throws -> R
  ) -> Task<R, any Error> {
    Task(executorPreference: worker ?? nextInTurn) { try await TaskOwner.scope(body) }
  }

  /// The worker that takes the next task, in turn. Safe from any thread.
  public var nextInTurn: Worker {
    let turn = nextWorker.add(1, ordering: .relaxed).oldValue
    return workers[Int(UInt(bitPattern: turn) % UInt(workers.count))]
  }

  // MARK: the end

  /// Ends the runtime: every wait on a socket or timer throws `.shutDown`, jobs that this makes ready are run for
  /// up to `Limits.shutDownGrace`, then the threads end, and what is left of tasks goes on in the global executor.
  ///
  /// Returns when all workers have ended. Idempotent; may be called from any task, one on a worker of this runtime
  /// too. Cancellation ends only the waiting.
  public func shutDown() async {
    for worker in workers { worker.stop() }
    for worker in workers { _ = await worker.ended.wait(for: ()) }
  }

  /// As `shutDown`, for some of the workers, whether the task is cancelled or not.
  func shutDownThoughCancelled(_ some: [Worker]) async {
    for worker in some { worker.stop() }
    for worker in some { _ = await worker.ended.waitThoughCancelled(for: ()) }
  }
}

extension Runtime {
  /// The runtime of the calling worker; `nil` elsewhere.
  public static var current: Runtime? { unsafe Worker.current?.runtime }

  private static let sharedRuntime = Locked<Runtime?>(nil)

  /// The runtime for code that has none of its own, with default configuration; started when first used, and never
  /// ended. Tasks that do not run on its workers pay a hop between threads for each wait. Throws what `init(_:)` throws.
  public static var shared: Runtime {
    get throws(IoError) {
      try sharedRuntime.withLock { runtime throws(IoError) in
        if let runtime { return runtime }
        let new = try Runtime()
        runtime = new
        return new
      }
    }
  }

  /// In place of the shared one, for tasks that are on no worker, and those that they start.
  @TaskLocal package static var substitute: Runtime?

  /// The runtime at hand: the calling worker's, else the shared one.
  static var atHand: Runtime {
    get throws(IoError) {
      if let runtime = current ?? substitute { return runtime }
      return try shared
    }
  }
}

extension IoDriverHandle {
  /// The driver for a wait that happens on no worker: one of the shared runtime's. The one hook by which the
  /// driver's floor gets something from above.
  static var fallback: IoDriverHandle {
    get throws(IoError) { try Runtime.atHand.nextInTurn.driver.handle }
  }
}
