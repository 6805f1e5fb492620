// SPDX-License-Identifier: Apache-2.0
// What a runtime's workers are doing, for swift-metrics. Compiled with the trait Metrics only.

#if Metrics
  import CoreMetrics

  extension Runtime {
    /// Reports `metrics` of each worker: now, and again every `distance`, until the task is cancelled.
    ///
    /// ```swift
    /// async let _: Void = runtime.reportMetrics(every: .seconds(10))
    /// ```
    /// The labels are `culvert.worker.` and: for gauges `descriptors`, `directions.armed`, `timers`, `jobs.ready` and
    /// `jobs.arrived`; for counters `turns`, `parks`, `jobs`, `wakeups`, `armings`, `busy.seconds` and `idle.seconds`. Each has the
    /// dimension `worker`, the number, and means what ``WorkerMetrics`` says. They go to the factory that `MetricsSystem` has.
    ///
    /// Throws `.cancelled`, or `.shutDown` when the worker or the runtime of the task ends. No system call but the timer's.
    public func reportMetrics(every distance: Duration = .seconds(10)) async throws(IoError) {
      var reports = workers.map(WorkerReport.init)
      var ticks = Interval(every: distance).makeAsyncIterator()
      while try await ticks.next() != nil {
        for index in reports.indices { reports[index].report() }
      }
    }
  }

  /// One worker's gauges and counters, and what was reported last.
  private struct WorkerReport {
    let worker: Worker
    let descriptors, directions, timers, ready, arrived: Gauge
    let turns, parks, jobs, wakeUps, armings: Counter
    let busy, idle: FloatingPointCounter
    var last = WorkerMetrics()

    init(_ worker: Worker) {
      let dimensions = [("worker", "\(worker.index)")]
      func label(_ name: String) -> String { "culvert.worker.\(name)" }
      func gauge(_ name: String) -> Gauge { Gauge(label: label(name), dimensions: dimensions) }
      func counter(_ name: String) -> Counter { Counter(label: label(name), dimensions: dimensions) }
      func seconds(_ name: String) -> FloatingPointCounter {
        FloatingPointCounter(label: label(name), dimensions: dimensions)
      }
      self.worker = worker
      (descriptors, directions, timers) = (gauge("descriptors"), gauge("directions.armed"), gauge("timers"))
      (ready, arrived) = (gauge("jobs.ready"), gauge("jobs.arrived"))
      (turns, parks, jobs) = (counter("turns"), counter("parks"), counter("jobs"))
      (wakeUps, armings) = (counter("wakeups"), counter("armings"))
      (busy, idle) = (seconds("busy.seconds"), seconds("idle.seconds"))
    }

    mutating func report() {
      let now = worker.metrics
      descriptors.record(now.descriptors)
      directions.record(now.armedDirections)
      timers.record(now.timers)
      ready.record(now.jobsReady)
      arrived.record(now.jobsArrived)
      for (counter, total) in [
        (turns, \WorkerMetrics.turns), (parks, \.parks), (jobs, \.jobs), (wakeUps, \.wakeUps),
        (armings, \.armings),
      ] { counter.increment(by: now[keyPath: total] &- last[keyPath: total]) }
      // A time that is read while the worker goes from one to the other may seem to go back.
      busy.increment(by: max(0, (now.busyTime - last.busyTime) / .seconds(1)))
      idle.increment(by: max(0, (now.idleTime - last.idleTime) / .seconds(1)))
      last = now
    }
  }
#endif
