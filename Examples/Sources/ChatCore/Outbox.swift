// SPDX-License-Identifier: Apache-2.0
// What waits to be written to one client, bounded. The chat puts lines in and never waits; the client's own
// tasks wait here. So a client that does not read fills its own outbox, and holds up nobody else.

import Synchronization

/// The lines on their way to one client.
///
/// Three tasks of a client's session wait on it: the writer for lines, the reader until there is room again,
/// and the session itself for the end. One task at a time may wait in each of the three roles. No wait can be
/// cancelled: `finish` ends all three.
public final class Outbox: Sendable {
  private let limit: Int
  private let state = Mutex(State())

  /// An outbox that holds at most so many bytes, those that are being written included.
  public init(limit: Int) {
    self.limit = limit
  }

  /// Puts a line in; `false` when there is no room for it.
  public func offer(_ line: String) -> Bool {
    change { state in
      let size = line.utf8.count + 1
      guard state.isFinished || state.size + size <= limit else { return false }
      state.append(line)
      return true
    }
  }

  /// Takes no more lines after this last one, for which there is always room.
  public func finish(saying farewell: String?) {
    change { state in
      if let farewell { state.append(farewell) }
      state.isFinished = true
    }
  }

  /// The writer waits for bytes to write; `nil` when the outbox is finished and empty.
  ///
  /// Asking again says that the bytes handed out before were written.
  public func next() async -> [UInt8]? {
    change { $0.beingWritten = 0 }
    await wait(.forLines)
    return change { $0.takeAll() }
  }

  /// Has the writer look up: it gets no bytes, if there are none.
  public func nudge() {
    change { $0.isNudged = true }
  }

  /// The reader waits until no more than half of the outbox is used, so that whoever asks for much and reads
  /// little is itself read slowly.
  public func roomy() async {
    await wait(.forRoom)
  }

  /// The session waits for `finish`.
  public func finished() async {
    await wait(.forTheEnd)
  }
}

// MARK: - Waiting

extension Outbox {
  private enum Wait { case forLines, forRoom, forTheEnd }

  private struct State {
    var waiting: [UInt8] = []
    var beingWritten = 0
    var isFinished = false
    var isNudged = false
    var waiters: [Wait: CheckedContinuation<Void, Never>] = [:]

    var size: Int { waiting.count + beingWritten }

    mutating func append(_ line: String) {
      if isFinished { return }
      waiting.append(contentsOf: line.utf8)
      waiting.append(UInt8(ascii: "\n"))
    }

    mutating func takeAll() -> [UInt8]? {
      defer { (waiting, isNudged) = ([], false) }
      if waiting.isEmpty { return isNudged ? [] : nil }
      beingWritten = waiting.count
      return waiting
    }

    func isOver(_ wait: Wait, limit: Int) -> Bool {
      switch wait {
      case .forLines: isFinished || isNudged || !waiting.isEmpty
      case .forRoom: isFinished || size <= limit / 2
      case .forTheEnd: isFinished
      }
    }
  }

  private func wait(_ wait: Wait) async {
    await withCheckedContinuation { continuation in
      let isOver = state.withLock { state in
        if state.isOver(wait, limit: limit) { return true }
        state.waiters[wait] = continuation
        return false
      }
      if isOver { continuation.resume() }
    }
  }

  /// Changes the state, and then wakes whose wait is over: after the lock is released, as a resumed task may
  /// run on another thread at once.
  private func change<Result: Sendable>(_ body: (inout State) -> Result) -> Result {
    let (result, woken) = state.withLock { state in
      let result = body(&state)
      let over = state.waiters.keys.filter { state.isOver($0, limit: limit) }
      return (result, over.compactMap { state.waiters.removeValue(forKey: $0) })
    }
    for waiter in woken { waiter.resume() }
    return result
  }
}
