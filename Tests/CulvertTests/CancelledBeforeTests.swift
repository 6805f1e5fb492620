// SPDX-License-Identifier: Apache-2.0
// A cancellation that comes before the wait, at each place where a task can wait: the wait is over at once.
import CCulvert
import CulvertTesting
import Testing

@testable import Culvert

@Suite(.timeLimit(watchdog)) struct CancelledBeforeTests {
  /// Runs `body` in a task that has been cancelled, and that has no handler but those of its waits.
  private func cancelled<R: Sendable>(_ body: @escaping @Sendable () async throws -> R) async throws -> R {
    let task = Task {
      unsafe withUnsafeCurrentTask { unsafe $0?.cancel() }
      return try await body()
    }
    return try await task.value
  }

  @Test func `a cancelled task does not wait for a descriptor`() async throws {
    try await withRuntime(workers: 2) { runtime in
      for worker in runtime.workers {
        let (mine, theirs) = try socketPair()
        defer { close(theirs) }
        let bridge = try BridgedFd(adopting: mine)
        try runtime.workers[0].driver.handle.addIoSource(bridge.registration.info)
        // Elsewhere than on a worker it would give way before it waits, and notice.
        let task = Task(executorPreference: worker) {
          unsafe withUnsafeCurrentTask { unsafe $0?.cancel() }
          return await failure { try await bridge.asyncCall(.readable, readByte) }
        }
        #expect(await task.value == .cancelled)
      }
    }
  }

  @Test func `a cancelled task does not sleep`() async throws {
    #expect(try await cancelled { await failure { try await sleep(for: .seconds(3600)) } } == .cancelled)
  }

  @Test func `a cancelled task does not wait at a gate`() async throws {
    #expect(try await cancelled { await failure { try await Gate().passed() } } == .cancelled)
  }

  @Test func `a cancelled task does not wait for its turn to write`() async throws {
    let (stream, _) = try TcpStream.overSocketPair()
    let isTaken = stream.writeTurn.tryTake()
    #expect(isTaken)
    #expect(try await cancelled { await failure { try await stream.write("x") } } == .cancelled)
  }

  @Test func `a cancelled task does not wait for a signal`() async throws {
    let watch = SignalWatch([])
    #expect(try await cancelled { await watch.wait(for: ()) } == .cancelled)
  }

  @Test func `a cancelled task does not wait for an idle worker`() async throws {
    try await onOneWorker { worker in
      try await cancelled { await worker.idle { false } }
    }
  }

  @Test func `an owner whose scope has ended owns nobody`() async throws {
    try await onOneWorker { worker in
      let owners = worker.driver.owners
      await Task(executorPreference: worker) {
        let before = owners.count
        await TaskOwner.scope {
          await Task.yield()
          #expect(owners[.current] != nil && owners.count == before + 1)
        }
        #expect(owners[.current] == nil && owners.count == before)
      }.value
    }
  }

  @Test func `a scope may end elsewhere, after its worker`() async throws {
    var configuration = Runtime.Configuration(workers: 1)
    configuration.limits.shutDownGrace = .zero
    let gate = Gate()
    let (task, owners) = try await withRuntime(configuration) { runtime in
      let started = Gate()
      let task = runtime.spawn {
        started.open()
        try await gate.passed()
        return Worker.current == nil
      }
      try await started.passed()
      return (task, runtime.workers[0].driver.owners)
    }
    #expect(owners.count > 0)
    gate.open()
    #expect(try await task.value)
    #expect(owners.count == 0)
  }
}
