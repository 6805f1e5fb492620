// SPDX-License-Identifier: Apache-2.0
// What to do where to try again at once would be a loop at full speed, and the loop has no event to wait for: a connection
// that can't be accepted for want of descriptors or memory stays in the backlog, so the listener stays readable; a
// Unix listener's backlog may be full; urgent data may stay unread.

/// Pauses between tries, longer each time, until one succeeds.
struct Backoff {
  private static let shortest = Duration.milliseconds(5)
  private static let longest = Duration.milliseconds(160)
  private var next = shortest
  /// Whether this is the first failure since a success: worth telling somebody.
  var isFirst: Bool { next == Self.shortest }

  static func isCalledFor(by error: IoError) -> Bool {
    error.code == .tooManyDescriptors || error.code == .outOfMemory
  }

  /// Waits for the time to pass; with `orForDescriptor` also for one of our own descriptors to be closed.
  mutating func wait(orForDescriptor: Bool = false, during operation: @autoclosure () -> String)
    async throws(IoError)
  {
    let pause = next
    next = min(next * 2, Self.longest)
    let (timers, task) = (try IoDriverHandle.current.timers, TaskIdentity.current)
    let deadline = timers.deadline(after: pause)
    if orForDescriptor {
      // If that happens before this task waits, nothing is lost but the pause.
      FdTable.onAnyClose(key: task.address) { timers.wakeEarly(task, waitingFor: deadline) }
    }
    switch await timers.wait(for: deadline) {
    case .cancelled: throw IoError(.cancelled, during: operation())
    case .shutDown: throw IoError(.shutDown, during: operation())
    default: return
    }
  }
}
