// SPDX-License-Identifier: Apache-2.0
// Servers from their start to the signal that ends them.

extension Runtime {
  /// Runs `servers` on this runtime's workers until all have ended: the first of `signals` drains them, the second cancels the
  /// handlers that are left.
  ///
  /// ```swift
  /// let signals = try await Signals.listen(to: .interrupt, .terminate)
  /// let report = try await runtime.run(server, until: signals)
  /// if report.cut > 0 { … }
  /// ```
  /// The report is about all of them. When one fails, the others drain, and what it threw is thrown after their end. A handler
  /// that ignores its cancellation is awaited all the same. Cancelling the task cancels all handlers, waits for their end, and
  /// throws `.cancelled`. Throws what `Server.run` throws.
  @discardableResult
  public func run(_ servers: Server..., until signals: Signals) async throws(IoError) -> ServeReport {
    let outcome = await withTaskGroup(of: Result<ServeReport, IoError>?.self) { group in
      for server in servers {
        group.addTask(executorPreference: nextInTurn) { await Self.outcome(of: server) }
      }
      group.addTask {
        await Self.drain(servers, at: signals)
        return nil
      }
      var (report, failure) = (ServeReport(), IoError?.none)
      var running = servers.count
      while running > 0, let ended = await group.next() {
        guard let ended else { continue }
        running -= 1
        switch ended {
        case .success(let one): report = report + one
        case .failure(let error):
          failure = failure ?? error
          for server in servers { server.drain() }
        }
      }
      group.cancelAll()
      return failure.map { .failure($0) } ?? Result<_, IoError>.success(report)
    }
    return try outcome.get()
  }

  private static func outcome(of server: Server) async -> Result<ServeReport, IoError> {
    await TaskOwner.scope {
      do throws(IoError) {
        return .success(try await server.run())
      } catch {
        return .failure(error)
      }
    }
  }

  /// Until the task is cancelled, or the runtime of the signals ends.
  private static func drain(_ servers: [Server], at signals: Signals) async {
    var isFirst = true
    for await _ in signals {
      for server in servers { server.drain(within: isFirst ? nil : .zero) }
      isFirst = false
    }
  }
}
