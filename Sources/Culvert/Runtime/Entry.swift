// SPDX-License-Identifier: Apache-2.0
// The ways into a runtime.

/// Runs `body` on a worker of a new runtime, and ends the runtime when it returns or throws.
///
/// ```swift
/// try await withRuntime { _ in
///   let listener = try await TcpListener.bind("127.0.0.1:7777")
///   try await listener.serve { stream in … }
/// }
/// ```
/// Tasks that `body` spawned and did not await get `.shutDown` from their waits. Throws what `body` throws, or an
/// `IoError` when the runtime can't be started.
@concurrent
public func withRuntime<R: Sendable>(
  _ configuration: Runtime.Configuration = Runtime.Configuration(),
  _ body: @concurrent @Sendable (Runtime) async throws -> R
) async throws -> R {
  let runtime = try Runtime(configuration)
  // `@concurrent` in the type of `body` is what makes it start on the worker.
  let result = await withTaskExecutorPreference(runtime.workers[0]) { () async -> Result<R, any Error> in
    do {
      return .success(try await TaskOwner.scope { try await body(runtime) })
    } catch {
      return .failure(error)
    }
  }
  await runtime.shutDownThoughCancelled(runtime.workers)
  return try result.get()
}

/// As `withRuntime(_:_:)`, with the default configuration but for the number of workers.
@concurrent
public func withRuntime<R: Sendable>(
  workers: Int, _ body: @concurrent @Sendable (Runtime) async throws -> R
) async throws -> R {
  try await withRuntime(Runtime.Configuration(workers: workers), body)
}

extension Runtime {
  /// Runs `body` on the calling thread, which becomes worker 0 until it has ended: for a synchronous `main`.
  ///
  /// ```swift
  /// @main struct Program {
  ///   static func main() throws { try Runtime.blockOn(workers: 2) { runtime in … } }
  /// }
  /// ```
  /// The thread keeps its name, processors and scheduling; those of the configuration are for the other workers.
  /// Called on the main thread it keeps `@MainActor` waiting until it returns: use `withRuntime` in an `async` main
  /// if something has to run there. Throws what `body` throws; `.unsupported` on a thread that is a worker already,
  /// since that would block its tasks; what the system refuses.
  public static func blockOn<R: Sendable>(
    _ configuration: Configuration = Configuration(workers: 1),
    _ body: @escaping @concurrent @Sendable (Runtime) async throws -> R
  ) throws -> R {
    if Worker.current != nil {
      throw IoError(.unsupported, during: "block a worker's thread until a task has ended")
    }
    let runtime = try Runtime(unstarted: configuration)
    let here = runtime.workers[0]
    try runtime.start(runtime.workers[1...], configuration.thread)
    let outcome = Monitor<Result<R, any Error>?>(nil)
    Task(executorPreference: here) {
      let result: Result<R, any Error>
      do {
        result = .success(try await TaskOwner.scope { try await body(runtime) })
      } catch {
        result = .failure(error)
      }
      await runtime.shutDownThoughCancelled(Array(runtime.workers.dropFirst()))
      outcome.update { $0 = result }
      here.stop()
    }
    here.run()
    // If somebody shut the runtime down before, the task goes on elsewhere, and this thread waits for it.
    return try outcome.wait { $0 }.get()
  }

  /// As `blockOn(_:_:)`, with that many workers.
  public static func blockOn<R: Sendable>(
    workers: Int, _ body: @escaping @concurrent @Sendable (Runtime) async throws -> R
  ) throws -> R {
    try blockOn(Configuration(workers: workers), body)
  }
}
