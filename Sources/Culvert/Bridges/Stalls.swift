// SPDX-License-Identifier: Apache-2.0
// Workers that are held up, for swift-log. Compiled with the trait Logging only.

#if Logging
  public import Logging

  extension Runtime {
    /// Logs a warning for each worker that has not come back to its loop for `limit` or longer, once each time, until the
    /// task is cancelled or the runtime has ended.
    ///
    /// ```swift
    /// async let _: Void = runtime.logStalls(of: .milliseconds(500), to: logger)
    /// ```
    /// As `watchStalls(of:_:)`, which it calls.
    public func logStalls(of limit: Duration = .seconds(1), to logger: Logger) async throws(IoError) {
      try await watchStalls(of: limit) { stall in
        logger.warning(
          "a worker is held up",
          metadata: [
            "worker": "\(stall.worker)", "task": "\(stall.task)", "for": "\(stall.duration)",
            "jobs waiting": "\(stall.jobsWaiting)",
          ])
      }
    }
  }
#endif
