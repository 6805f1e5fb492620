// SPDX-License-Identifier: Apache-2.0
// Workers that are held up: who computes or blocks on one keeps all its sockets waiting.

/// A worker that has not come back to its loop for long.
public struct Stall: Sendable, Hashable, CustomStringConvertible {
  /// The worker's number.
  public let worker: Int
  /// The task that it runs, as `Runtime.dump()` calls those that wait: the address, by which a debugger finds it.
  public let task: String
  /// For how long, to some milliseconds, when this was noticed.
  public let duration: Duration
  /// Jobs that wait for the worker.
  public let jobsWaiting: Int

  /// Such as "worker 0 has been held up for 1.2 seconds by task 7f2c10004a80; jobs waiting: 3".
  public var description: String {
    "worker \(worker) has been held up for \(duration) by task \(task); jobs waiting: \(jobsWaiting)"
  }
}

extension Runtime {
  /// Calls `report` for each worker that has not come back to its loop for `limit` or longer, once each time, until the task is
  /// cancelled or the runtime has ended.
  ///
  /// ```swift
  /// async let _: Void = runtime.watchStalls(of: .milliseconds(500)) { print($0) }
  /// ```
  /// Looks twice in that time, at least 10 ms apart, on a thread of its own with a loop, so that it can tell of all of them, whatever
  /// else is busy; `report` is called there. What holds a worker up is work that takes long, or a call that blocks: `offload` is for
  /// both. The task is the one that was run at the look: a turn of very many short jobs is a stall, too.
  ///
  /// Throws when there is no thread or descriptor for that. `pthread_create(3)`.
  public func watchStalls(
    of limit: Duration = .seconds(1), _ report: @escaping @Sendable (Stall) -> Void
  ) async throws(IoError) {
    var configuration = Configuration(workers: 1)
    configuration.thread.name = "culvert-watch"
    let watcher = try Runtime(configuration)
    await withTaskExecutorPreference(watcher.workers[0]) { await lookForStalls(of: limit, report) }
    await watcher.shutDownThoughCancelled(watcher.workers)
  }

  @concurrent
  private func lookForStalls(of limit: Duration, _ report: @Sendable (Stall) -> Void) async {
    var told: [Int: UInt64] = [:]
    while !Task.isCancelled, !workers.allSatisfy(\.isClosed) {
      for worker in workers {
        let busySince = worker.pulse.busySince
        guard told[worker.index] != busySince, let stall = worker.stall(of: limit) else { continue }
        told[worker.index] = busySince
        report(stall)
      }
      try? await sleep(for: max(limit / 2, .milliseconds(10)))
    }
  }
}

extension Worker {
  fileprivate func stall(of limit: Duration) -> Stall? {
    let (busySince, now) = (pulse.busySince, MonotonicTime.coarse)
    guard busySince > 0, now >= MonotonicTime.after(limit, from: busySince) else { return nil }
    return Stall(
      worker: index, task: "\(pulse.task)", duration: .milliseconds((now - busySince) / 1_000_000),
      jobsWaiting: pulse.jobsReady + jobsArrived)
  }
}
