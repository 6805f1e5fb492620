// SPDX-License-Identifier: Apache-2.0
// A task that is remembered where it waits is suspended as a job of its worker's lobby. It must go on where it belongs, whoever
// wakes it and whatever it was in the middle of; and who does not belong there takes the long way.
import CCulvert
import CulvertTesting
import Testing

@testable import Culvert

extension WaitPlace {
  /// The one who waits here, which waits no more.
  func takeWaiter() -> Waiter? { info.snapshot.waits.first.flatMap { info.takeWaiter(of: $0.task) } }

  /// Sees that the one who waits here does so in the lobby, and has it look for nothing, and wait again.
  func disturb() async throws {
    await awaited()
    let waiter = try #require(takeWaiter())
    #expect(waiter.mustBeRemembered)
    waiter.wake(.ready)
    await awaited()
  }
}

private actor Reader {
  /// A byte of the stream, for which it waits. Stops the process if that ends where this actor's code must not run.
  func read(from stream: TcpStream) async throws -> UInt8 {
    var buffer: [UInt8] = [0]
    _ = try await stream.read(into: &buffer)
    preconditionIsolated()
    return buffer[0]
  }
}

@Suite(.timeLimit(watchdog)) struct LobbyTests {
  private typealias Outcome = (code: IoError.Code?, worker: Worker?)

  /// Has a task wait in the lobby of the second of two workers, and calls `body` with the place where it waits.
  private func whileOneWaits(
    _ body: @escaping @concurrent @Sendable (WaitPlace, Task<Outcome, any Error>) async throws -> Void
  ) async throws {
    try await withRuntime(workers: 2) { runtime in
      let place = try WaitPlace(on: runtime.workers[1])
      defer { close(place.peer) }
      let remembered = Gate()
      let task = runtime.spawn(on: place.worker) { () -> Outcome in
        try await place.waitOnce()
        remembered.open()
        return (await place.read(), Worker.current)
      }
      try await remembered.passed()
      try await place.disturb()
      try await body(place, task)
    }
  }

  @Test func `an event lets it go on`() async throws {
    try await whileOneWaits { place, task in
      #expect(writeByte(place.peer))
      let (code, worker) = try await task.value
      #expect(code == nil && worker === place.worker)
    }
  }

  @Test func `who is woken from another thread goes on on the worker`() async throws {
    for end in [IoError.Code.closed, .cancelled] {
      try await whileOneWaits { place, task in
        if end == .closed { place.bridge.close() } else { task.cancel() }
        let (code, worker) = try await task.value
        #expect(code == end && worker === place.worker)
      }
    }
  }

  @Test func `who is woken when its worker has ended goes on elsewhere, and is told so`() async throws {
    let found = Locked<(waiter: Waiter, task: Task<Outcome, any Error>)?>(nil)
    try await whileOneWaits { place, task in
      let waiter = try #require(place.takeWaiter())
      found.withLock { $0 = (waiter, task) }
    }
    let (waiter, task) = try #require(found.withLock { $0 })
    waiter.wake(.ready)
    let (code, worker) = try await task.value
    #expect(code == .shutDown && worker == nil)
  }

  @Test func `why a wait could not be set up is told`() async throws {
    try await withRuntime(workers: 1) { runtime in
      let codes = try await runtime.spawn {
        // A regular file can't be watched. Who has tried is remembered there.
        let file = try BridgedFd(adopting: unsafe culvert_open_read("/proc/self/exe", false))
        return [
          await failure { try await file.reported(.priority, during: "test") },
          await failure { try await file.reported(.priority, during: "test") },
        ]
      }.value
      #expect(codes == [.unsupported, .unsupported])
    }
  }

  @Test func `who is not remembered any more when it enters looks again`() async throws {
    try await withRuntime(workers: 1) { runtime in
      let place = try WaitPlace(on: runtime.workers[0])
      defer { close(place.peer) }
      let reason = try await runtime.spawn {
        try await place.waitOnce()
        #expect(place.info.isOrdinaryWait(for: .readable))
        // As if somebody had cancelled it right now.
        place.info.forget(.current)
        return await Lobby.wait()
      }.value
      #expect(reason == .ready)
    }
  }

  @Test func `who reads in an actor's name goes on in that name`() async throws {
    await #expect(processExitsWith: .success) {
      try await withRuntime(workers: 1) { runtime in
        let listener = try await TcpListener.bind("127.0.0.1:0")
        let (reader, read) = (Reader(), Tally())
        let serving = runtime.spawn {
          try await listener.serve { stream in
            if try await reader.read(from: stream) == 7 { read.add() }
          }
        }
        let client = try await TcpStream.connect(to: listener.localAddress)
        await runtime.workers[0].idle()
        try await client.write([7])
        try await read.reached(1)
        serving.cancel()
        _ = await failure { try await serving.value }
      }
    }
  }

  @Test func `who reads elsewhere in the middle of its life goes on there`() async throws {
    try await withRuntime(workers: 2) { runtime in
      let place = try WaitPlace(on: runtime.workers[0])
      defer { close(place.peer) }
      let other = runtime.workers[1]
      let workers = try await runtime.spawn(on: place.worker) {
        try await place.waitOnce()
        var workers: [Worker?] = []
        for executor in [other, globalConcurrentExecutor] as [any TaskExecutor] {
          Task {
            await place.awaited()
            return writeByte(place.peer)
          }
          await withTaskExecutorPreference(executor) {
            _ = await place.read()
            workers.append(Worker.current)
          }
          place.bridge.clearReadiness(.readable)
        }
        return workers + [Worker.current]
      }.value
      #expect(workers.map { $0?.index } == [1, nil, 0])
    }
  }

  @Test func `a thread that was a worker has no reason left`() async throws {
    let (meanwhile, afterwards) = try await onThreadOfItsOwn {
      let meanwhile = try Runtime.blockOn { runtime in
        let place = try WaitPlace(on: runtime.workers[0])
        defer { close(place.peer) }
        try await place.waitOnce()
        runtime.spawn {
          await place.awaited()
          _ = writeByte(place.peer)
        }
        _ = await place.read()
        return culvert_wake()
      }
      return (meanwhile, culvert_wake())
    }
    #expect(meanwhile == WakeReason.ready.number && afterwards == WakeReason.shutDown.number)
  }
}
