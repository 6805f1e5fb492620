// SPDX-License-Identifier: Apache-2.0
// Workers that are held up, for swift-log: who computes or blocks on one keeps all its sockets waiting. Compiled with the trait
// Logging only.

#if Logging
  public import Logging

  extension Runtime {
    /// Logs a warning for each worker that has not come back to its loop for `limit` or longer, once each time, until the
    /// task is cancelled or the runtime has ended.
    ///
    /// ```swift
    /// async let _: Void = runtime.logStalls(of: .milliseconds(500), to: logger)
    /// ```
    /// Looks twice in that time, at least 10 ms apart, from no worker, so that it can tell of all of them. What holds a worker up is
    /// work that takes long, or a call that blocks: `offload` is for both.
    public func logStalls(of limit: Duration = .seconds(1), to logger: Logger) async {
      await withTaskExecutorPreference(globalConcurrentExecutor) { await watchStalls(of: limit, logger) }
    }

    @concurrent
    private func watchStalls(of limit: Duration, _ logger: Logger) async {
      var told: [Int: UInt64] = [:]
      while !Task.isCancelled, !workers.allSatisfy(\.isClosed) {
        for worker in workers {
          let (busySince, ready, arrived) = worker.snapshot
          let now = MonotonicTime.coarse
          guard busySince > 0, now >= MonotonicTime.after(limit, from: busySince),
            told[worker.index] != busySince
          else { continue }
          told[worker.index] = busySince
          let duration = Duration.milliseconds((now - busySince) / 1_000_000)
          logger.warning(
            "a worker is held up",
            metadata: [
              "worker": "\(worker.index)", "for": "\(duration)", "jobs waiting": "\(ready + arrived)",
            ])
        }
        try? await Task.sleep(for: max(limit / 2, .milliseconds(10)))
      }
    }
  }
#endif
