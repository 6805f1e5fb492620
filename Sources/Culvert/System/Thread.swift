// SPDX-License-Identifier: Apache-2.0
// Starting a thread, and how it is to be scheduled. Knows nothing of loops or tasks.

import CCulvert

/// How the threads of a runtime are made.
///
/// What the system refuses (a real-time policy without the right to it, a processor that is not there) fails
/// the runtime's start with an error that names the option.
public struct ThreadConfiguration: Sendable, Hashable {
  /// Which scheduler runs the thread.
  public enum Policy: Sendable, Hashable {
    /// The system's default; it has no priority to set.
    case other
    /// First in, first out, at a fixed priority (`SCHED_FIFO`).
    case fifo(priority: Int)
    /// Round robin at a fixed priority (`SCHED_RR`).
    case roundRobin(priority: Int)
  }

  /// The thread's name, followed by "-" and its number; the system keeps the first 15 bytes.
  public var name = "culvert"
  /// The processors that the threads may run on, by number from 0 to 63; `nil` for all.
  public var affinity: Set<Int>?
  /// The scheduler and its priority; `nil` inherits those of the thread that starts the runtime.
  public var policy: Policy?
  /// Stack size in bytes; `nil` for the system's default.
  public var stackSize: Int?

  /// The system's defaults.
  public init() {}
}

enum Thread {
  /// Starts a detached thread named `name` that runs `body`.
  static func start(
    _ configuration: ThreadConfiguration, name: String, _ body: @escaping @Sendable () -> Void
  ) throws(IoError) {
    let options = try configuration.systemOptions()
    let box = unsafe Unmanaged.passRetained(Body(name: name, run: body))
    let error = unsafe culvert_thread_start(
      options,
      { context in
        let body = unsafe Unmanaged<Body>.fromOpaque(context!).takeRetainedValue()
        unsafe body.name.withCString { unsafe culvert_thread_set_name($0) }
        body.run()
      }, box.toOpaque())
    if error != 0 {
      unsafe box.release()
      throw IoError(errno: error, during: "start thread \(name) with \(configuration.summary)")
    }
  }

  private final class Body {
    let name: String
    let run: @Sendable () -> Void
    init(name: String, run: @escaping @Sendable () -> Void) {
      self.name = name
      self.run = run
    }
  }
}

extension ThreadConfiguration {
  fileprivate func systemOptions() throws(IoError) -> culvert_thread_options {
    var options = culvert_thread_options(stack_size: 0, policy: -1, priority: 0, affinity: 0)
    if let stackSize {
      if stackSize <= 0 { throw invalid("stack size \(stackSize)") }
      options.stack_size = stackSize
    }
    switch policy {
    case nil: break
    case .other: options.policy = SCHED_OTHER
    case .fifo(let priority): try options.set(SCHED_FIFO, priority, orFail: invalid("priority \(priority)"))
    case .roundRobin(let priority):
      try options.set(SCHED_RR, priority, orFail: invalid("priority \(priority)"))
    }
    if let affinity {
      if affinity.isEmpty { throw invalid("an empty set of processors") }
      for processor in affinity {
        if !(0..<64).contains(processor) { throw invalid("processor \(processor), which is not in 0...63") }
        options.affinity |= 1 << UInt64(processor)
      }
    }
    return options
  }

  private func invalid(_ what: String) -> IoError {
    IoError(.invalidArgument, during: "start thread \(name) with \(what)")
  }

  fileprivate var summary: String {
    var parts: [String] = []
    if let policy { parts.append("policy \(policy)") }
    if let affinity { parts.append("processors \(affinity.sorted())") }
    if let stackSize { parts.append("a stack of \(stackSize) bytes") }
    return parts.isEmpty ? "default options" : parts.joined(separator: ", ")
  }
}

extension culvert_thread_options {
  fileprivate mutating func set(
    _ policy: Int32, _ priority: Int, orFail error: @autoclosure () -> IoError
  ) throws(IoError) {
    let allowed = Int(sched_get_priority_min(policy))...Int(sched_get_priority_max(policy))
    guard allowed.contains(priority) else { throw error() }
    self.policy = policy
    self.priority = Int32(priority)
  }
}
