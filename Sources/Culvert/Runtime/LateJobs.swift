// SPDX-License-Identifier: Apache-2.0
// Where the actors of ended workers go on: one thread for the process, started when first needed.
// One, because jobs of one actor must never run side by side, and jobs come from many threads.

import CCulvert
import Synchronization

enum LateJobs {
  private struct State {
    var jobs: [QueuedJob] = []
    var hasThread = false
  }
  private static let state = Monitor(State())
  /// The thread's mark; 0 until it runs. It never ends, so the mark is never another's.
  private static let thread = Atomic<UInt>(0)

  static var isCurrentThread: Bool { thread.load(ordering: .acquiring) == currentThread }

  private static var currentThread: UInt { unsafe UInt(bitPattern: culvert_thread_mark()) }

  static func submit(_ job: QueuedJob) {
    let mustStart = state.update { state in
      state.jobs.append(job)
      defer { state.hasThread = true }
      return !state.hasThread
    }
    if mustStart { start() }
  }

  private static func start() {
    do throws(IoError) {
      try Thread.start(ThreadConfiguration(), name: "culvert-late") { run() }
    } catch {
      // The jobs stay queued, and the next one tries again.
      state.update { $0.hasThread = false }
    }
  }

  private static func run() {
    thread.store(currentThread, ordering: .releasing)
    while true {
      let jobs: [QueuedJob] = state.wait { state in
        if state.jobs.isEmpty { return nil }
        defer { state.jobs = [] }
        return state.jobs
      }
      for job in jobs { job.run() }
    }
  }
}
