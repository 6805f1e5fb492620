// SPDX-License-Identifier: Apache-2.0
// Cancellation, with one handler for a task's life and with one for a wait.
import CCulvert
import CulvertTesting
import Testing

@testable import Culvert

@Suite(.timeLimit(watchdog)) struct CancellationTests {
  /// A source on which nothing arrives, and its other end.
  private func silentSource() throws -> (bridge: BridgedFd, peer: Int32) {
    let (mine, theirs) = try socketPair()
    return (try BridgedFd(adopting: mine), theirs)
  }

  @Test func `a task that was cancelled before it waits does not wait`() async throws {
    try await onOneWorker { _ in
      let (bridge, peer) = try silentSource()
      defer { close(peer) }
      let runtime = try #require(Runtime.current)
      let owned = runtime.spawn {
        unsafe withUnsafeCurrentTask { unsafe $0?.cancel() }
        return await failure { try await bridge.asyncCall(.readable, readByte) }
      }
      #expect(try await owned.value == .cancelled)
      let plain = Task {
        unsafe withUnsafeCurrentTask { unsafe $0?.cancel() }
        return await failure { try await bridge.asyncCall(.readable, readByte) }
      }
      #expect(await plain.value == .cancelled)
    }
  }

  @Test func `cancelling a child does not end its parent's wait`() async throws {
    try await onOneWorker { worker in
      let (bridge, peer) = try silentSource()
      defer { close(peer) }
      let parent = try #require(Runtime.current).spawn {
        let child = await withTaskGroup(of: IoError.Code?.self) { group in
          group.addTask { await failure { try await bridge.asyncCall(.readable, readByte) } }
          await worker.idle()
          group.cancelAll()
          return await group.next() ?? nil
        }
        #expect(child == .cancelled)
        return try await bridge.asyncCall(.readable, readByte)
      }
      await worker.idle()
      #expect(writeByte(peer, 4))
      #expect(try await parent.value == 4)
    }
  }

  @Test func `cancelling a parent ends its children's waits and its own`() async throws {
    try await onOneWorker { worker in
      let (bridge, peer) = try silentSource()
      defer { close(peer) }
      let parent = try #require(Runtime.current).spawn {
        async let one = failure { try await bridge.asyncCall(.readable, readByte) }
        async let two = failure { try await sleep(for: .seconds(1000)) }
        let own = await failure { try await bridge.asyncCall(.readable, readByte) }
        return [await one, await two, own]
      }
      await worker.idle()
      parent.cancel()
      #expect(try await parent.value == [.cancelled, .cancelled, .cancelled])
    }
  }

  @Test func `a task started within another's job is not taken for its owner`() async throws {
    try await onOneWorker { worker in
      let (bridge, peer) = try silentSource()
      defer { close(peer) }
      let outer = try #require(Runtime.current).spawn {
        // Runs inside this task's job until it first suspends, with this task's task-local values.
        let inner = Task.immediate { await failure { try await bridge.asyncCall(.readable, readByte) } }
        inner.cancel()
        #expect(await inner.value == .cancelled)
        return try await bridge.asyncCall(.readable, readByte)
      }
      await worker.idle()
      #expect(writeByte(peer, 8))
      #expect(try await outer.value == 8)
    }
  }

  @Test func `a task whose source is always ready notices that it is cancelled, on a worker or not`()
    async throws
  {
    try await onOneWorker { _ in
      let (bridge, peer) = try silentSource()
      defer { close(peer) }
      let calls = { @Sendable in
        let started = Latch()
        let forever = { @Sendable in
          await failure {
            while true {
              started.open()
              _ = try await bridge.asyncCall(.writable) { (_) throws(IoError) in 1 }
            }
          }
        }
        return (started, forever)
      }
      let (firstStarted, first) = calls()
      let owned = try #require(Runtime.current).spawn { await first() }
      _ = await firstStarted.wait(for: ())
      owned.cancel()
      #expect(try await owned.value == .cancelled)
      let (secondStarted, second) = calls()
      let plain = Task { await second() }
      _ = await secondStarted.wait(for: ())
      plain.cancel()
      #expect(await plain.value == .cancelled)
    }
  }

  @Test func `after its scope a task waits with a handler of its own`() async throws {
    try await onOneWorker { worker in
      let (bridge, peer) = try silentSource()
      defer { close(peer) }
      let task = Task(executorPreference: worker) {
        await TaskOwner.scope { await Task.yield() }
        return await failure { try await bridge.asyncCall(.readable, readByte) }
      }
      await worker.idle()
      task.cancel()
      #expect(await task.value == .cancelled)
    }
  }

  @Test(arguments: [true, false])
  func `a cancellation at any moment ends a wait once, and loses no byte`(isOwned: Bool) async throws {
    try await withRuntime(workers: 2) { runtime in
      let (bridge, peer) = try silentSource()
      defer { close(peer) }
      var generator = SystemRandomNumberGenerator()
      var expected = 0
      var cancelled = 0
      for round in 0..<5_000 {
        let wait = { @Sendable in try await bridge.asyncCall(.readable, readByte) }
        let task = isOwned ? runtime.spawn { try await wait() } : Task { try await wait() }
        if round % 3 != 0 { for _ in 0..<Int.random(in: 0..<4, using: &generator) { await Task.yield() } }
        let canceller = Task.detached { task.cancel() }
        if round % 2 == 0 { #expect(writeByte(peer, UInt8(expected % 250))) }
        await canceller.value
        switch await task.result {
        case .success(let byte):
          #expect(byte == expected % 250)
          expected += 1
        case .failure(let error):
          #expect((error as? IoError)?.code == .cancelled)
          cancelled += 1
          // The byte that was written in this round is still there.
          if round % 2 == 0 {
            #expect(try await bridge.asyncCall(.readable, readByte) == expected % 250)
            expected += 1
          }
        }
      }
      #expect(cancelled > 100)
    }
  }

  @Test func `closing and cancelling at once ends a wait once`() async throws {
    try await withRuntime(workers: 2) { runtime in
      for round in 0..<2_000 {
        let (bridge, peer) = try silentSource()
        let task = runtime.spawn { await failure { try await bridge.asyncCall(.readable, readByte) } }
        if round % 2 == 0 { await Task.yield() }
        async let cancelled: Void = Task.detached { task.cancel() }.value
        async let closed: Void = Task.detached { bridge.close() }.value
        _ = await (cancelled, closed)
        let code = try await task.value
        #expect(code == .cancelled || code == .closed)
        close(peer)
      }
      for worker in runtime.workers {
        try await runtime.spawn(on: worker) { await worker.idle() }.value
        #expect(worker.driver.handle.registrationCount == 0)
      }
    }
  }
}
