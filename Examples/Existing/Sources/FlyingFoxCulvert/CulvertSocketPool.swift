// SPDX-License-Identifier: Apache-2.0
// FlyingFox's sockets wait on a worker of Culvert: a pool to hand to its HTTPServer, which stays as it is.
//
// FlyingFox owns its descriptors and closes them whenever it likes, without a word to the pool. libuv ends the process when
// something that it is told to watch is closed by then. A duplicate (`BridgedFd(borrowing:)`) would be safe, but keeps the
// connection open after FlyingFox has closed it, and the port of a listener bound. So what the worker watches is a descriptor
// of ours, an epoll set, and FlyingFox's are in that: what is closed drops out of it by itself.

import CEpoll
public import Culvert
public import FlyingSocks
import Synchronization

/// A pool for FlyingFox's servers and sockets whose waits are those of a Culvert worker (Linux).
///
/// ```swift
/// let server = HTTPServer(address: .inet(port: 8080), pool: CulvertSocketPool(on: runtime))
/// ```
/// Who waits is woken when the socket is ready, fails, or is hung up: the next call tells which. Cancellation ends a wait. The end of
/// `run`, be it that its task is cancelled or that the runtime ends, ends all of them.
public final class CulvertSocketPool: AsyncSocketPool {
  private let runtime: Runtime?
  private let writeLimit: Duration?
  private let state = Mutex(State())
  private let nextId = Atomic<SocketWaits.Id>(0)

  fileprivate struct State {
    var waits = SocketWaits()
    /// Between `prepare` and the end of `run`.
    var set: BridgedFd?
    var isRunning = false
  }

  /// A pool on that runtime, else on the shared one. A wait to write that takes longer than `writeLimit`, by up to a quarter, throws
  /// `SocketError.timeout`: FlyingFox itself would wait for ever for a client that does not read.
  public init(on runtime: Runtime? = nil, writeLimit: Duration? = nil) {
    self.runtime = runtime
    self.writeLimit = writeLimit
  }

  /// Makes ready for waits, unless it is. `epoll_create1(2)`.
  public func prepare() throws {
    try state.withLock { state in
      if state.set != nil { return }
      let number = epoll_make()
      guard number >= 0 else { throw IoError(errno: -number, during: "make an epoll set") }
      do {
        state.set = try BridgedFd(adopting: number)
      } catch {
        _ = OwnedFd(adopting: number)
        throw error
      }
    }
  }

  /// Wakes those whose sockets are ready, on a worker, until it is cancelled or the runtime ends: then it throws.
  /// `epoll_wait(2)`.
  public func run() async throws {
    let set = try state.withLock { state in
      guard let set = state.set, !state.isRunning else {
        throw IoError(.invalidArgument, during: "run a pool of sockets that is not prepared, or runs")
      }
      state.isRunning = true
      return set
    }
    let runtime = try self.runtime ?? Runtime.shared
    let pump = runtime.spawn {
      async let limits: Void = self.keepWriteLimit()
      try await self.wakeThoseReady(in: set)
      try await limits
    }
    let result = await withTaskCancellationHandler {
      await pump.result
    } onCancel: {
      pump.cancel()
    }
    end(set)
    try Task.checkCancellation()
    try result.get()
  }

  /// Waits until `socket` is ready for one of `events`; throws `CancellationError`, and `SocketError.disconnected` when the socket
  /// was closed meanwhile and its number belongs to another. `epoll_ctl(2)`.
  public func suspendSocket(_ socket: Socket, untilReadyFor events: Socket.Events) async throws {
    let number = socket.file.rawValue
    let id = nextId.add(1, ordering: .relaxed).newValue
    let directions = Directions(events)
    let since = writeLimit != nil && directions.contains(.writing) ? ContinuousClock.now : nil
    try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { continuation in
        park(
          SocketWaits.Wait(id: id, directions: directions, since: since, continuation: continuation),
          for: number)
      }
    } onCancel: {
      let wait = state.withLock { $0.waits.take(id, for: number) }
      wait?.continuation.resume(throwing: CancellationError())
    }
  }
}

extension CulvertSocketPool {
  private func park(_ wait: SocketWaits.Wait, for number: Int32) {
    let failed = state.withLock { state -> [(SocketWaits.Wait, any Error)] in
      guard let set = state.set else {
        return [(wait, IoError(.closed, during: "wait in a pool of sockets that does not run"))]
      }
      // The handler of a cancelled task may have looked for this wait already, and not found it.
      if Task.isCancelled { return [(wait, CancellationError())] }
      guard number >= 0 else { return [(wait, SocketError.disconnected)] }
      return state.keep(wait, for: number, in: set)
    }
    for (wait, error) in failed { wait.continuation.resume(throwing: error) }
  }

  /// One call for the life of the pool: "would block" is the answer after each batch. Whatever is left, or has come meanwhile, is
  /// reported again.
  private func wakeThoseReady(in set: BridgedFd) async throws(IoError) {
    var events = [epoll_report](repeating: epoll_report(), count: 128)
    try await set.asyncCall(.readable) { (fd) throws(IoError) -> Void? in
      let count = unsafe epoll_take(fd, &events, Int32(events.count))
      if count < 0, count != -EINTR { throw IoError(errno: -count, during: "look at an epoll set") }
      wake(events.prefix(max(0, Int(count))), in: set)
      return nil
    }
  }

  private func keepWriteLimit() async throws(IoError) {
    guard let writeLimit else { return }
    while true {
      try await sleep(for: writeLimit / 4)
      let late = state.withLock { $0.waits.takeWriters(since: .now - writeLimit) }
      let error = SocketError.timeout(message: "nothing could be written for \(writeLimit)")
      for wait in late { wait.continuation.resume(throwing: error) }
    }
  }

  private func wake(_ events: ArraySlice<epoll_report>, in set: BridgedFd) {
    let outcomes = state.withLock { state in events.map { state.take($0, in: set) } }
    for (ready, failed) in outcomes {
      for wait in ready { wait.continuation.resume() }
      for (wait, error) in failed { wait.continuation.resume(throwing: error) }
    }
  }

  /// Whoever still waits is told that nobody will wake him.
  private func end(_ set: BridgedFd) {
    let left = state.withLock { state in
      (state.set, state.isRunning) = (nil, false)
      return state.waits.takeAll()
    }
    for wait in left { wait.continuation.resume(throwing: CancellationError()) }
    set.close()
  }
}

extension CulvertSocketPool.State {
  fileprivate typealias Failed = [(SocketWaits.Wait, any Error)]

  /// Keeps a wait; tells whose wait that ends.
  fileprivate mutating func keep(_ wait: SocketWaits.Wait, for number: Int32, in set: BridgedFd) -> Failed {
    watch(waits.keep(wait, for: number), of: number, in: set) { $0.id == wait.id }
  }

  /// Whom an event wakes. Those who are left want to be told of the next.
  fileprivate mutating func take(_ event: epoll_report, in set: BridgedFd) -> ([SocketWaits.Wait], Failed) {
    let number = event.fd
    let ready = waits.take(Directions(event.events), for: number)
    let wanted = waits.wanted(for: number)
    if wanted.isEmpty { return (ready, []) }
    return (ready, watch(wanted, of: number, in: set) { _ in false })
  }

  /// Has the set report a socket once more. When its number was not in the set, those who waited for it waited for another socket,
  /// which was closed; all but `newcomer` are told so, lest they read what is a stranger's.
  private mutating func watch(
    _ wanted: Directions, of number: Int32, in set: BridgedFd, newcomer: (SocketWaits.Wait) -> Bool
  ) -> Failed {
    var isNew: Int32 = 0
    let outcome = unsafe epoll_watch_once(set.fd, number, wanted.bits, &isNew)
    if outcome != 0 {
      let error = IoError(errno: -outcome, during: "watch file descriptor \(number)")
      return waits.takeAll(for: number) { _ in true }.map { ($0, error) }
    }
    if isNew == 0 { return [] }
    return waits.takeAll(for: number) { !newcomer($0) }.map { ($0, SocketError.disconnected) }
  }
}

extension Directions {
  fileprivate init(_ events: Socket.Events) {
    self = []
    if events.contains(.read) { insert(.reading) }
    if events.contains(.write) { insert(.writing) }
  }

  /// What a report is good for: an error and a hang-up are for all.
  fileprivate init(_ bits: UInt32) {
    self = []
    let isOver = bits & (EPOLLERR.rawValue | EPOLLHUP.rawValue) != 0
    if isOver || bits & EPOLLIN.rawValue != 0 { insert(.reading) }
    if isOver || bits & EPOLLOUT.rawValue != 0 { insert(.writing) }
  }

  fileprivate var bits: UInt32 {
    (contains(.reading) ? EPOLLIN.rawValue : 0) | (contains(.writing) ? EPOLLOUT.rawValue : 0)
  }
}
