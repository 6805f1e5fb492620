// SPDX-License-Identifier: Apache-2.0
// What is known to be ready is read without a lock: by the worker that polls, by its tasks' children, by other threads,
// and when the worker has ended.
import CCulvert
import CulvertTesting
import Testing

@testable import Culvert

@Suite(.timeLimit(watchdog), .disabled(if: isChaotic, aTryMayBlock)) struct KnownReadinessTests {
  enum Caller: CaseIterable, Sendable {
    case task, childTask, otherThread

    /// Reads a byte, and fails at the second try.
    func readAtOnce(_ bridge: BridgedFd, on runtime: Runtime) async throws -> Int {
      let read: @Sendable () async throws -> Int = {
        let tries = Tally()
        return try await bridge.asyncCall(.readable) { (fd) throws(IoError) in
          if tries.add() > 1 { throw IoError(.other, during: "try a second time") }
          return try readByte(fd)
        }
      }
      switch self {
      case .task: return try await runtime.spawn { try await read() }.value
      case .childTask:
        return try await runtime.spawn {
          async let child = read()
          return try await child
        }.value
      case .otherThread: return try await Task.detached { try await read() }.value
      }
    }
  }

  /// A bridge that is armed on the only worker of `runtime`, of which nothing is known to be ready, and its peer.
  private func quietBridge(_ runtime: Runtime) async throws -> (bridge: BridgedFd, peer: Int32) {
    let (mine, theirs) = try socketPair()
    let bridge = try BridgedFd(adopting: mine)
    let first = runtime.spawn { try await bridge.asyncCall(.readable, readByte) }
    await runtime.workers[0].idle()
    #expect(writeByte(theirs, 1))
    #expect(try await first.value == 1)
    bridge.clearReadiness(.readable)
    return (bridge, theirs)
  }

  @Test(arguments: Caller.allCases)
  func `what is not ready is not tried, by whomever`(caller: Caller) async throws {
    try await withRuntime(workers: 1) { runtime in
      let (bridge, peer) = try await quietBridge(runtime)
      defer { close(peer) }
      async let byte = caller.readAtOnce(bridge, on: runtime)
      await runtime.workers[0].idle()
      #expect(writeByte(peer, 2))
      #expect(try await byte == 2)
    }
  }

  @Test(arguments: Caller.allCases)
  func `what an event told is known to whoever comes, and costs the loop nothing more`(caller: Caller)
    async throws
  {
    try await withRuntime(workers: 1) { runtime in
      let worker = runtime.workers[0]
      let (bridge, peer) = try await quietBridge(runtime)
      defer { close(peer) }
      #expect(writeByte(peer, 2))
      await worker.idle(where: { bridge.registration.info.outlook(.readable) == .ready })
      let armings = worker.driver.armings
      #expect(try await caller.readAtOnce(bridge, on: runtime) == 2)
      #expect(worker.driver.armings == armings)
    }
  }

  @Test(arguments: Caller.allCases)
  func `after the worker's end what is known to be ready is read, and nobody waits`(caller: Caller)
    async throws
  {
    let (home, other) = (try Runtime(.init(workers: 1)), try Runtime(.init(workers: 1)))
    let (bridge, peer) = try await quietBridge(home)
    defer { close(peer) }
    #expect(writeByte(peer, 2))
    await home.workers[0].idle(where: { bridge.registration.info.outlook(.readable) == .ready })
    await home.shutDown()
    #expect(try await caller.readAtOnce(bridge, on: other) == 2)
    // Still known as ready: that this is no longer so costs one try.
    #expect(await failure { try await caller.readAtOnce(bridge, on: other) } == .shutDown)
    #expect(await failure { try await caller.readAtOnce(bridge, on: other) } == .shutDown)
    await other.shutDown()
  }
}
