// SPDX-License-Identifier: Apache-2.0
// What a worker has done, and has in hand, in numbers.

/// What a worker has done since its runtime began, and what it has in hand.
///
/// ```swift
/// let before = runtime.metrics[0]
/// // … some seconds later
/// let now = runtime.metrics[0]
/// let load = (now.busyTime - before.busyTime) / (now.busyTime + now.idleTime - before.busyTime - before.idleTime)
/// ```
/// Numbers are read one after the other, while the worker goes on: each is right, and they may differ by a turn.
public struct WorkerMetrics: Sendable, Hashable {
  /// Turns of the loop: each carries out messages, polls once, and is followed by the jobs that this made ready.
  public internal(set) var turns: UInt64 = 0
  /// Turns whose poll could wait, for nothing was left to do.
  public internal(set) var parks: UInt64 = 0
  /// Jobs that were run: a task has one for each time that it goes on after a wait.
  public internal(set) var jobs: UInt64 = 0
  /// Tasks that an event of a descriptor woke.
  public internal(set) var wakeUps: UInt64 = 0
  /// Times that what a descriptor is watched for has changed. Each costs one or two system calls: steady traffic has none.
  public internal(set) var armings: UInt64 = 0
  /// Time out of the poll. The system's coarse clock tells it: right over seconds, and a single span to some milliseconds.
  public internal(set) var busyTime: Duration = .zero
  /// Time in the poll. Otherwise as `busyTime`.
  public internal(set) var idleTime: Duration = .zero
  /// Descriptors that the worker's loop knows: those on which somebody has waited.
  public internal(set) var descriptors = 0
  /// Directions (readable, writable, …) of those that are watched now.
  public internal(set) var armedDirections = 0
  /// Timers that are set.
  public internal(set) var timers = 0
  /// Jobs that could run when the worker last left its poll.
  public internal(set) var jobsReady = 0
  /// Jobs that other threads have left since the worker last took them.
  public internal(set) var jobsArrived = 0

  /// Nothing done, and nothing in hand.
  public init() {}
}

extension Worker {
  /// What this worker has done, and has in hand. Waits for nobody and may be asked from any thread, also while the worker is
  /// held up or has ended. No system call; time in proportion to the descriptors, whose directions are counted for it.
  public var metrics: WorkerMetrics {
    var metrics = WorkerMetrics()
    let handle = driver.handle
    pulse.fill(&metrics)
    metrics.descriptors = handle.registrationCount
    metrics.armedDirections = handle.registrations.reduce(0) { $0 + $1.armedDirections }
    metrics.timers = handle.timers.count
    metrics.jobsArrived = jobsArrived
    return metrics
  }
}

extension Runtime {
  /// The metrics of each worker, by number. As `Worker.metrics`.
  public var metrics: [WorkerMetrics] { workers.map(\.metrics) }
}

extension RegistrationInfo {
  fileprivate var armedDirections: Int { snapshot.armed.rawValue.nonzeroBitCount }
}
