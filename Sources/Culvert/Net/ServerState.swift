// SPDX-License-Identifier: Apache-2.0
// What a server counts, and who waits for a count. Pure: Server keeps one under its lock, and opens the latches that it is
// given once it has let go of that.

struct ServerState {
  private(set) var report = ServeReport()
  /// The handlers that run.
  private(set) var open = 0
  /// When those that still run are to be cancelled; `nil` until the server drains.
  private(set) var deadline: UInt64?
  private var hasStarted = false
  /// They have been told.
  private var isCut = false
  /// Connections that may still be taken once the server drains.
  private var late: Int
  /// The one who runs the server waits until no more than `most` handlers run, or the deadline has changed.
  private var awaited: (latch: Latch, most: Int)?

  init(late: Int) {
    self.late = late
  }

  /// False when the server has started before.
  mutating func start() -> Bool {
    defer { hasStarted = true }
    return !hasStarted
  }

  mutating func begin() { open += 1 }

  /// A handler has ended. Returns the latch to open, if any.
  mutating func end(hasFailed: Bool) -> Latch? {
    open -= 1
    if isCut {
      report.cut += 1
    } else if hasFailed {
      report.failed += 1
    } else {
      report.served += 1
    }
    guard let awaited, open <= awaited.most else { return nil }
    return takeAwaited()
  }

  /// Sets the deadline, but never to a later one. Returns the latch to open, and whether the server has to be told.
  mutating func drain(by deadline: UInt64) -> (latch: Latch?, hasStarted: Bool) {
    self.deadline = min(deadline, self.deadline ?? .max)
    return (takeAwaited(), hasStarted)
  }

  /// Whether one more connection may be taken though the server drains.
  mutating func takeLate() -> Bool {
    late -= 1
    return late >= 0
  }

  /// What to wait at until no more than `most` handlers run, or the deadline has changed; `nil` when it is so.
  mutating func wait(forAtMost most: Int) -> Latch? {
    if open <= most { return nil }
    let latch = Latch()
    awaited = (latch, most)
    return latch
  }

  /// Whoever ends from now on was cut.
  mutating func cut() { isCut = true }

  private mutating func takeAwaited() -> Latch? {
    defer { awaited = nil }
    return awaited?.latch
  }
}
