// SPDX-License-Identifier: Apache-2.0
// What to do when a connection can't be accepted for want of descriptors or memory. It stays in the backlog, so the
// listener stays readable: to try again at once would be a loop at full speed.

/// Pauses between tries, longer each time, until one succeeds.
struct AcceptPause {
  private static let shortest = Duration.milliseconds(5)
  private static let longest = Duration.milliseconds(160)
  private var next = shortest
  /// Whether this is the first failure since a success: worth telling somebody.
  var isFirst: Bool { next == Self.shortest }

  static func isCalledFor(by error: IoError) -> Bool {
    error.code == .tooManyDescriptors || error.code == .outOfMemory
  }

  /// Waits for the time to pass, or for one of our own descriptors to be closed.
  mutating func wait(during operation: @autoclosure () -> String) async throws(IoError) {
    let pause = next
    next = min(next * 2, Self.longest)
    let (timers, task) = (try IoDriverHandle.current.timers, TaskIdentity.current)
    let deadline = MonotonicTime.after(pause)
    // If that happens before this task waits, nothing is lost but the pause.
    FdTable.onAnyClose(key: task.address) { timers.wakeEarly(task, waitingFor: deadline) }
    switch await timers.wait(for: deadline) {
    case .cancelled: throw IoError(.cancelled, during: operation())
    case .shutDown: throw IoError(.shutDown, during: operation())
    default: return
    }
  }
}
