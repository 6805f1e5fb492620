// SPDX-License-Identifier: Apache-2.0
// Has the peer gone? Asked without reading, while data may be unread.
//
// Some facts about the end of a connection (Linux)
// - EPOLLRDHUP: the peer sends no more. A client that half-closes still reads, so this is no reason to give up on it.
// - EPOLLHUP: both directions are down, or a reset came. A TCP peer that closes without having unread data looks as if it
//   had half-closed, until it answers something that we send with a reset. A Unix peer that closes is gone at once.
// - EPOLLERR alone is not the end: a queue of errors holds it up too.
// - Both come again in every turn of the loop while they are watched for; EPOLLHUP always is. To hear of it and of nothing
//   else, watch for urgent data (UvPoll has the rest), which next to nobody sends. Urgent data that stays unread, or a
//   queue of errors, then wakes for nothing: hence the pauses.

extension StreamSocket {
  /// Waits until the peer has sent all that it will: what it sent may still be unread, and it may still read.
  ///
  /// True also when it is gone altogether. Reads nothing. Throws `.closed`, `.cancelled`, `.shutDown`, and `.unsupported` but
  /// on Linux, where a read that finds the end is the only way to know. `epoll_wait(2)`, `poll(2)`.
  public func peerFinished() async throws(IoError) {
    _ = try await ready(for: .peerFinished)
  }

  /// Waits until the peer is gone: it has reset the connection, or both directions are down.
  ///
  /// A peer that only half-closes (`nc -N`) is not gone; nor can TCP tell before the next write, should it have closed with
  /// nothing unread (keep-alive or `userTimeout` find one that fell silent). What it sent may still be unread. Reads nothing,
  /// and takes no error from whoever reads or writes. While urgent data is unread, it may be 160 ms late. Throws
  /// `.closed`, `.cancelled`, `.shutDown`, and `.unsupported` but on Linux. `epoll_wait(2)`, `poll(2)`.
  public func hungUp() async throws(IoError) {
    let operation = "wait for \(self) to hang up"
    if !Platform.canWaitForPeerFinished { throw IoError(.unsupported, during: operation) }
    var pause = Backoff()
    while true {
      // Forgotten before the look: what is reported after it counts.
      clearReadiness(.priority)
      if try isHungUp(during: operation) { return }
      try await reported(.priority, during: operation)
      if try isHungUp(during: operation) { return }
      try await pause.wait(during: operation)
    }
  }

  private func isHungUp(during operation: String) throws(IoError) -> Bool {
    try use(during: operation) { (fd) throws(IoError) in
      try Syscalls.pollNow(fd, for: Syscalls.hangUp).value(during: operation) != 0
    }
  }

  /// Runs `work` as a child task, which is cancelled when the peer hangs up (`hungUp()`): for an answer that takes long and
  /// that nobody may be waiting for any more.
  ///
  /// ```swift
  /// let report = try await stream.withHangUpCancellation { try await database.slowReport() }
  /// try await stream.write(report)
  /// ```
  /// Returns what `work` returns, even if the peer has gone, and throws what it throws; but the cancellation that came of
  /// the hang-up is `.connectionReset`. A peer that half-closes cancels nothing. Cancelling the task cancels `work`. Closing
  /// the stream ends the watch, not `work`. Throws `.unsupported` but on Linux, before `work` has begun.
  public func withHangUpCancellation<R: Sendable>(
    _ work: @escaping @Sendable () async throws -> R
  ) async throws -> R {
    let operation = "work for \(self)"
    if !Platform.canWaitForPeerFinished { throw IoError(.unsupported, during: operation) }
    let (isGone, result) = await withTaskGroup(of: WatchedWork<R>.self) { group in
      group.addTask { .done(await Result { try await TaskOwner.scope { try await work() } }) }
      group.addTask { await self.watch() }
      var isGone = false
      var result: Result<R, any Error> = .failure(IoError(.cancelled, during: operation))
      for await event in group {
        switch event {
        case .hungUp: isGone = true
        case .notWatched: continue
        case .done(let done): result = done
        }
        // Whichever it was, the other is of no more use.
        group.cancelAll()
      }
      return (isGone, result)
    }
    if isGone, !Task.isCancelled, case .failure(let error) = result, error.isCancellation {
      throw IoError(.connectionReset, during: operation)
    }
    return try result.get()
  }

  private func watch<R>() async -> WatchedWork<R> {
    do throws(IoError) {
      try await hungUp()
      return .hungUp
    } catch {
      return .notWatched
    }
  }
}

private enum WatchedWork<R: Sendable>: Sendable {
  case done(Result<R, any Error>)
  case hungUp
  /// The stream was closed, or this was cancelled.
  case notWatched
}
