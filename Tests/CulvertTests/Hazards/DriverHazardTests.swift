// SPDX-License-Identifier: Apache-2.0
// Hazards 7, 8, 14, 15, 16, 18, 19: what a level-triggered loop reports again and again, and whom it wakes.
import CCulvert
import CulvertTesting
import Foundation
import Testing

@testable import Culvert

private let manyDescriptors = descriptorLimit > 4_000

@Suite(.timeLimit(watchdog)) struct DriverHazardTests {
  // MARK: what is armed for nobody

  @Test(.enabled(if: manyDescriptors, "needs 4,000 descriptors"))
  func `hazard 7: sockets whose readers were cancelled, with unread bytes, cost no turns of the loop`()
    async throws
  {
    try await onOneWorker { worker in
      let pairs = try (0..<1_000).map { _ in try socketPair() }
      defer { for pair in pairs { close(pair.1) } }
      let bridges = try pairs.map { try BridgedFd(adopting: $0.0) }
      let waits = bridges.map { bridge in
        Task(executorPreference: worker) { await failure { try await bridge.asyncCall(.readable, readByte) } }
      }
      await worker.idle()
      #expect(worker.driver.armings == 1_000)
      for wait in waits { wait.cancel() }
      for wait in waits { #expect(await wait.value == .cancelled) }
      for pair in pairs { #expect(writeByte(pair.1)) }
      #expect(try await turnsWhileIdle(worker) < aFewTurns)
      // Each was disarmed by the one event that found nobody.
      #expect(worker.driver.armings == 2_000)
      for bridge in bridges { #expect(try await bridge.asyncCall(.readable, readByte) == 1) }
    }
  }

  @Test(.enabled(if: manyDescriptors, "needs 4,000 descriptors"))
  func `hazard 8: sockets that finished a write after a wait, and stay writable, cost no turns of the loop`()
    async throws
  {
    try await onOneWorker { worker in
      let message = [UInt8](repeating: 7, count: 20_000)
      let pairs = try (0..<1_000).map { _ in
        let (mine, theirs) = try socketPair()
        var size: Int32 = 4_096
        let length = socklen_t(MemoryLayout.size(ofValue: size))
        #expect(unsafe setsockopt(mine, SOL_SOCKET, SO_SNDBUF, &size, length) == 0)
        return (try TcpStream(owning: mine, peer: .unnamed), try TcpStream(owning: theirs, peer: .unnamed))
      }
      let writes = pairs.map { pair in
        Task(executorPreference: worker) { try await pair.0.write(message) }
      }
      await worker.idle()
      let armings = worker.driver.armings
      #expect(armings >= 1_000)
      for pair in pairs { #expect(try await pair.1.readExactly(message.count).count == message.count) }
      for write in writes { try await write.value }
      #expect(try await turnsWhileIdle(worker) < aFewTurns)
      let settled = worker.driver.armings
      #expect(try await turnsWhileIdle(worker) < aFewTurns)
      #expect(worker.driver.armings == settled)
    }
  }

  // MARK: what is known of readiness

  @Test func `hazard 14: a would-block that is told after the event it missed does not lose its waiter`()
    async throws
  {
    try await onOneWorker { worker in
      for _ in 0..<rounds(ci: 200, stress: 20_000) {
        let (mine, theirs) = try socketPair()
        let bridge = try BridgedFd(adopting: mine)
        let (tries, isReported) = (Tally(), Monitor(false))
        let late = Task.detached {
          try await bridge.asyncCall(.readable) { (fd) throws(IoError) in
            if tries.add() > 1 { return try readByte(fd) }
            // It would block now. Before this is told, the loop reports what came to somebody else.
            isReported.wait { $0 ? () : nil }
            return nil
          }
        }
        try await tries.reached(1)
        let other = Task(executorPreference: worker) { try await bridge.asyncCall(.readable, readByte) }
        await worker.idle()
        for _ in 0..<2 { #expect(writeByte(theirs)) }
        #expect(try await other.value == 1)
        isReported.update { $0 = true }
        #expect(try await late.value == 1)
        await bridge.closed()
        close(theirs)
      }
    }
  }

  @Test func `hazard 15: a storm of events in one direction costs the other one no tries`() async throws {
    try await onOneWorker { worker in
      let (mine, theirs) = try socketPair()
      defer { close(theirs) }
      let bridge = try BridgedFd(adopting: mine)
      let tries = Tally()
      let reader = Task(executorPreference: worker) {
        try await bridge.asyncCall(.readable) { (fd) throws(IoError) in
          tries.add()
          return try readByte(fd)
        }
      }
      await worker.idle()
      let woken = Tally()
      for _ in 0..<rounds(ci: 1_000, stress: 100_000) {
        bridge.registration.clearReadiness(.writable)
        _ = try await bridge.asyncCall(.writable) { (_) throws(IoError) in woken.add() }
        // The event was the writer's alone: whoever comes to read now parks without a try.
        guard case .mustWait = bridge.registration.info.outlook(.readable) else {
          Issue.record("readable, by an event of the other direction")
          return
        }
      }
      #expect(tries.value == 1)
      #expect(writeByte(theirs, 4))
      #expect(try await reader.value == 4)
      #expect(tries.value == 2)
    }
  }

  @Test(arguments: 0..<4 as Range<UInt8>, 0..<4 as Range<UInt8>)
  func `hazard 16: a would-block takes back the readiness of its own directions, and an event adds its own`(
    before: UInt8, change: UInt8
  ) {
    let (known, change) = (IoEventInterest(rawValue: before), IoEventInterest(rawValue: change))
    var state = ReadinessState<NamedWaiter>()
    state.clear([.readable, .writable])
    _ = state.event(known, turn: 1, stopped: false)
    #expect(state.ready == known)
    var cleared = state
    cleared.clear(change)
    #expect(cleared.ready == known.subtracting(change))
    _ = state.event(change, turn: 2, stopped: false)
    #expect(state.ready == known.union(change))
  }

  // MARK: several waiters

  @Test func `hazard 18: 100 readers on two workers and on none are all served, one byte at a time`()
    async throws
  {
    try await withRuntime(workers: 2) { runtime in
      let (mine, theirs) = try socketPair()
      defer { close(theirs) }
      let bridge = try BridgedFd(adopting: mine)
      let served = Tally()
      let read = { @concurrent @Sendable () async throws -> Void in
        #expect(try await bridge.asyncCall(.readable, readByte) == 1)
        served.add()
      }
      let readers = (0..<100).map { index in
        index % 3 == 2 ? Task { try await read() } : runtime.spawn(on: runtime.workers[index % 3], read)
      }
      for count in 1...100 {
        #expect(writeByte(theirs))
        try await served.reached(count)
      }
      for reader in readers { try await reader.value }
    }
  }

  @Test func `hazard 19: tasks that run within their wake may use the registration that wakes them`()
    async throws
  {
    var limits = Limits()
    limits.callsPerJob = 100_000
    try await onOneWorker(limits: limits) { worker in
      let executor = InlineExecutor()
      for round in 0..<rounds(ci: 20, stress: 2_000) {
        let (mine, theirs) = try socketPair()
        let bridge = try BridgedFd(adopting: mine)
        try worker.driver.handle.addIoSource(bridge.registration.info)
        // Each starts here and now; when it is woken, within the wake, it waits at the same place again.
        let readers = (0..<100).map { _ in
          Task(executorPreference: executor) {
            var sum = 0
            while let byte = try? await bridge.asyncCall(.readable, readByte) { sum += byte }
            // Sent away by the close, it comes again at once.
            #expect(await failure { try await bridge.asyncCall(.readable, readByte) } == .closed)
            return sum
          }
        }
        for _ in 0..<100 { #expect(writeByte(theirs)) }
        await worker.idle()
        #expect(writeByte(theirs))
        await worker.idle()
        // Nor does it matter who wakes them, the loop's thread or another that closes. (A cancellation must not run them
        // like this: it goes through the task's records with the runtime's own lock held.)
        if round % 2 == 0 { bridge.close() } else { onAnotherThread { bridge.close() } }
        var sum = 0
        for reader in readers { sum += await reader.value }
        #expect(sum == 101)
        await bridge.closed()
        close(theirs)
      }
    }
  }
}
