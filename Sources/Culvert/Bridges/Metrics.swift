// SPDX-License-Identifier: Apache-2.0
// What a runtime's workers are doing, for swift-metrics. Compiled with the trait Metrics only.

#if Metrics
  import CoreMetrics

  extension Runtime {
    /// Sets gauges to what each worker has in hand: now, and again every `distance`, until the task is cancelled.
    ///
    /// ```swift
    /// async let _: Void = runtime.reportMetrics(every: .seconds(10))
    /// ```
    /// The labels are `culvert.worker.` and: `descriptors`, that the loop watches; `timers`, that are set; `jobs.ready`, that could
    /// run when the worker last left its poll; `jobs.arrived`, that other threads have handed in since; `busy.seconds`, since
    /// then, and 0 while it waits. Each has the dimension `worker`, the number. They go to the factory that `MetricsSystem` has.
    ///
    /// Throws `.cancelled`, or `.shutDown` when the worker or the runtime of the task ends. No system call but the timer's.
    public func reportMetrics(every distance: Duration = .seconds(10)) async throws(IoError) {
      let gauges = workers.map(WorkerGauges.init)
      var ticks = Interval(every: distance).makeAsyncIterator()
      while try await ticks.next() != nil {
        for worker in gauges { worker.set() }
      }
    }
  }

  /// The gauges of one worker.
  private struct WorkerGauges {
    let worker: Worker
    let descriptors, timers, ready, arrived, busy: Gauge

    init(_ worker: Worker) {
      func gauge(_ name: String) -> Gauge {
        Gauge(label: "culvert.worker.\(name)", dimensions: [("worker", "\(worker.index)")])
      }
      self.worker = worker
      descriptors = gauge("descriptors")
      timers = gauge("timers")
      ready = gauge("jobs.ready")
      arrived = gauge("jobs.arrived")
      busy = gauge("busy.seconds")
    }

    func set() {
      let (now, known) = (MonotonicTime.coarse, worker.snapshot)
      descriptors.record(worker.driver.handle.registrationCount)
      timers.record(worker.driver.handle.timers.count)
      ready.record(known.ready)
      arrived.record(known.arrived)
      let busySince = known.busySince == 0 ? now : min(known.busySince, now)
      busy.record(Double(now - busySince) / 1e9)
    }
  }
#endif
