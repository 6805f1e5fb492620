// SPDX-License-Identifier: Apache-2.0
// Who waits for what: the text that one reads when something hangs. It asks no worker, so it tells of a stalled one too.

extension Runtime {
  /// Who waits for what on which descriptor, since when; which directions are armed; what the queues hold.
  ///
  /// ```swift
  /// for await _ in try await Signals.listen(to: .user1) { print(runtime.dump()) }
  /// ```
  /// ```
  /// worker 0: waits in its poll; 0 jobs ready, 0 left by others; 2 descriptors; 1 timer, due in 9.80 s
  ///   fd 7, 127.0.0.1:7777: ready for writable, armed for readable
  ///     task 7f2c10004a80 waits for readable, for 12.30 s
  ///   fd 9, 127.0.0.1:7777 with 127.0.0.1:40122: ready for writable, armed for readable
  ///     task 7f2c10006d00 waits for readable, for 0.20 s
  /// ```
  /// A source is listed from its first wait on. Waits for no worker, and may be called from any thread.
  /// `getsockname(2)`, `getpeername(2)`.
  public func dump() -> String {
    workers.map { worker in
      let sources = worker.driver.handle.registrations.sorted { $0.number < $1.number }
      return ([worker.summary] + sources.flatMap(\.summary)).joined(separator: "\n")
    }.joined(separator: "\n")
  }
}

extension Worker {
  fileprivate var summary: String {
    let (handle, now, busySince) = (driver.handle, MonotonicTime.coarse, pulse.busySince)
    let earliest = handle.timers.earliest
    let task = pulse.task == .none ? "" : " with task \(pulse.task)"
    let state =
      isClosed
      ? "has ended" : busySince == 0 ? "waits in its poll" : "busy for \(seconds(busySince, now))\(task)"
    let timers = counted(handle.timers.count, "timer")
    let due =
      earliest == TimerQueue.never ? "" : ", due in \(seconds(handle.timers.now, earliest))"
    return
      "worker \(index): \(state); \(counted(pulse.jobsReady, "job")) ready, \(jobsArrived) left by others; "
      + "\(counted(handle.registrationCount, "descriptor")); \(timers)\(due)"
  }
}

extension RegistrationInfo {
  fileprivate var summary: [String] {
    let (ready, armed, waits) = snapshot
    let now = MonotonicTime.coarse
    let states = [("ready for ", ready), ("armed for ", armed)].filter { !$0.1.isEmpty }.map { "\($0)\($1)" }
    return ["  fd \(number)\(ends): \(states.joined(separator: ", "))"]
      + waits.map { wait in
        "    task \(wait.task) waits for \(wait.interest), for \(seconds(wait.since, now))"
      }
  }

  /// The addresses of a socket, after a comma.
  private var ends: String {
    guard acquire() else { return ", closed" }
    defer { release() }
    let (local, peer) = Socket.ends(number)
    guard let local else { return "" }
    return ", \(local)" + (peer.map { " with \($0)" } ?? "")
  }
}

private func counted(_ count: Int, _ what: String) -> String { "\(count) \(what)\(count == 1 ? "" : "s")" }

/// The time between two readings of the clock, such as "1.05 s"; nothing if it went the other way.
private func seconds(_ start: UInt64, _ end: UInt64) -> String {
  let hundredths = end > start ? (end - start) / 10_000_000 : 0
  let fraction = hundredths % 100
  return "\(hundredths / 100).\(fraction < 10 ? "0" : "")\(fraction) s"
}
