// SPDX-License-Identifier: Apache-2.0
// A task that is not remembered where it waits comes into the lobby too: with its owner, if it has one, or else with a cancellation
// handler for this one wait. It must be found by whoever cancels it, and not be taken for a regular one afterwards.
import CCulvert
import CulvertTesting
import Foundation
import Testing

@testable import Culvert

@Suite(.timeLimit(watchdog)) struct NewcomerWaitTests {
  private typealias Outcome = (code: IoError.Code?, worker: Worker?)

  /// Has a child task, which has no owner, wait in the lobby of the second of two workers, and calls `body` with the place where
  /// it waits.
  private func whileChildWaits(
    grace: Duration = .seconds(10),
    _ body: @escaping @concurrent @Sendable (WaitPlace, Task<Outcome, any Error>) async throws -> Void
  ) async throws {
    var configuration = Runtime.Configuration(workers: 2)
    configuration.limits.shutDownGrace = grace
    try await withRuntime(configuration) { runtime in
      let place = try WaitPlace(on: runtime.workers[1])
      defer { close(place.peer) }
      let task = runtime.spawn(on: place.worker) { () -> Outcome in
        async let child: Outcome = {
          #expect(TaskOwner.of(.current) == nil)
          let code = await place.read()
          #expect(!place.info.isRegular(.current))
          return (code, Worker.current)
        }()
        return await child
      }
      try await place.disturb()
      try await body(place, task)
    }
  }

  @Test func `a child task waits in the lobby, and an event lets it go on`() async throws {
    try await whileChildWaits { place, task in
      #expect(writeByte(place.peer))
      let (code, worker) = try await task.value
      #expect(code == nil && worker === place.worker)
    }
  }

  @Test func `a child that is woken from another thread goes on on the worker`() async throws {
    for end in [IoError.Code.closed, .cancelled] {
      try await whileChildWaits { place, task in
        if end == .closed { place.bridge.close() } else { task.cancel() }
        let (code, worker) = try await task.value
        #expect(code == end && worker === place.worker)
      }
    }
  }

  @Test(arguments: [Duration.seconds(1), .zero])
  func `a child whose worker ends is told so, and goes on there or elsewhere`(grace: Duration) async throws {
    let waiting = Locked<(task: Task<Outcome, any Error>, peer: Int32)?>(nil)
    try await whileChildWaits(grace: grace) { place, task in
      // Or it would read the end.
      let peer = dup(place.peer)
      waiting.withLock { $0 = (task, peer) }
    }
    let (task, peer) = try #require(waiting.withLock { $0 })
    #expect(try await task.value.code == .shutDown)
    close(peer)
  }

  @Test func `a child that is cancelled before it waits, or between two waits, does not wait`() async throws {
    for waits in 0...1 {
      try await withRuntime(workers: 1) { runtime in
        let place = try WaitPlace(on: runtime.workers[0])
        defer { close(place.peer) }
        let code = try await runtime.spawn {
          async let child: IoError.Code? = {
            place.bridge.clearReadiness(.readable)
            for _ in 0..<waits {
              Task {
                await place.awaited()
                return writeByte(place.peer)
              }
              #expect(await place.read() == nil)
              place.bridge.clearReadiness(.readable)
            }
            unsafe withUnsafeCurrentTask { unsafe $0?.cancel() }
            return await place.read()
          }()
          return await child
        }.value
        #expect(code == .cancelled)
      }
    }
  }

  @Test func `a child that has waited and is cancelled at its next wait is found`() async throws {
    try await withRuntime(workers: 1) { runtime in
      let place = try WaitPlace(on: runtime.workers[0])
      defer { close(place.peer) }
      for round in 0..<20 {
        let task = runtime.spawn {
          async let child: [IoError.Code?] = [place.read(), place.read(), place.read()]
          return await child
        }
        for _ in 0..<2 {
          await place.awaited()
          #expect(writeByte(place.peer))
        }
        await place.awaited()
        if round % 2 == 0 { task.cancel() } else { runtime.spawn { task.cancel() } }
        #expect(try await task.value == [nil, nil, .cancelled])
      }
    }
  }

  @Test func `two children at one place, and their parent, are cancelled one by one`() async throws {
    try await withRuntime(workers: 1) { runtime in
      let place = try WaitPlace(on: runtime.workers[0])
      defer { close(place.peer) }
      let remembered = Gate()
      let parent = runtime.spawn {
        try await place.waitOnce()
        remembered.open()
        return await place.read()
      }
      try await remembered.passed()
      await place.awaited()
      let children = (0..<2).map { _ in Task(executorPreference: place.worker) { await place.read() } }
      await place.awaited(by: 3)
      for (index, task) in [children[0], children[1]].enumerated() {
        task.cancel()
        #expect(await task.value == .cancelled)
        await place.awaited(by: 2 - index)
      }
      parent.cancel()
      #expect(try await parent.value == .cancelled)
    }
  }

  @Test func `a task that waits now here, now there waits in the lobby, and is found where it is`()
    async throws
  {
    try await withRuntime(workers: 1) { runtime in
      let worker = runtime.workers[0]
      let places = try [WaitPlace(on: worker), WaitPlace(on: worker)]
      defer { for place in places { close(place.peer) } }
      for last in 0..<2 {
        let known = Gate()
        let task = runtime.spawn {
          for place in places { try await place.waitOnce() }
          known.open()
          for place in places + places { #expect(await place.read() == nil) }
          return await places[last].read()
        }
        try await known.passed()
        for place in places + places {
          try await place.disturb()
          #expect(writeByte(place.peer))
        }
        await places[last].awaited()
        task.cancel()
        #expect(try await task.value == .cancelled)
      }
    }
  }

  @Test func `a task that is cancelled between two places does not wait at the next`() async throws {
    try await withRuntime(workers: 1) { runtime in
      let worker = runtime.workers[0]
      let places = try [WaitPlace(on: worker), WaitPlace(on: worker)]
      defer { for place in places { close(place.peer) } }
      let code = try await runtime.spawn {
        for place in places { try await place.waitOnce() }
        unsafe withUnsafeCurrentTask { unsafe $0?.cancel() }
        return await places[0].read()
      }.value
      #expect(code == .cancelled)
    }
  }
}
