// SPDX-License-Identifier: Apache-2.0
import CCulvert
import CulvertTesting
import Testing

@testable import Culvert

@Suite(.timeLimit(watchdog)) struct BridgedFdTests {
  @Test func `a read waits for the byte that another writes`() async throws {
    try await onOneWorker { worker in
      let (mine, theirs) = try socketPair()
      defer { close(theirs) }
      let bridge = try BridgedFd(adopting: mine)
      async let byte = bridge.asyncCall(.readable, readByte)
      await worker.idle()
      #expect(writeByte(theirs, 7))
      #expect(try await byte == 7)
    }
  }

  @Test func `a source that never blocks never touches the loop`() async throws {
    try await onOneWorker { worker in
      let (mine, theirs) = try socketPair()
      defer { close(theirs) }
      let bridge = try BridgedFd(adopting: mine)
      for value in 0..<10 {
        #expect(writeByte(theirs, UInt8(value)))
        #expect(try await bridge.asyncCall(.readable, readByte) == value)
      }
      #expect(worker.driver.handle.registrationCount == 0)
      #expect(worker.driver.armings == 0)
    }
  }

  @Test func `a second registration of one number is refused and the first goes on`() async throws {
    try await onOneWorker { worker in
      let (mine, theirs) = try socketPair()
      defer { close(theirs) }
      let bridge = try BridgedFd(adopting: mine)
      #expect { _ = try BridgedFd(adopting: mine) } throws: { ($0 as? IoError)?.code == .alreadyRegistered }
      async let byte = bridge.asyncCall(.readable, readByte)
      await worker.idle()
      #expect(writeByte(theirs, 3))
      #expect(try await byte == 3)
    }
  }

  @Test func `a borrowed descriptor stays its owner's`() async throws {
    try await onOneWorker { _ in
      let (mine, theirs) = try socketPair()
      defer {
        close(mine)
        close(theirs)
      }
      let bridge = try BridgedFd(borrowing: mine)
      #expect(bridge.fd != mine)
      #expect(writeByte(theirs, 5))
      #expect(try await bridge.asyncCall(.readable, readByte) == 5)
      await bridge.closed()
      #expect(culvert_is_open(mine))
      #expect(writeByte(theirs, 6))
      #expect(try readByte(mine) == 6)
    }
  }

  /// Borrowing makes a copy, so the file that the loop watches outlives its number. If the number is closed before the
  /// loop has let go, events go on for good; with libuv 1.45 to 1.48 the loop takes its time (UvVersion).
  @Test(.enabled(if: descriptorLimit > 8_000, "needs 8,000 descriptors"))
  func `what is closed while its copy has unread bytes keeps no loop busy`() async throws {
    try await onOneWorker { worker in
      // So many that some are closed within a poll callback, where those versions only take note.
      let pairs = try (0..<300).map { _ in try socketPair() }
      defer {
        for pair in pairs {
          close(pair.0)
          close(pair.1)
        }
      }
      let readers = try pairs.map { pair in
        let bridge = try BridgedFd(borrowing: pair.0)
        return Task(executorPreference: worker) {
          let byte = try await bridge.asyncCall(.readable, readByte)
          bridge.close()
          return byte
        }
      }
      await worker.idle()
      for pair in pairs { #expect(writeByte(pair.1) && writeByte(pair.1)) }
      for reader in readers { #expect(try await reader.value == 1) }
      #expect(try await turnsWhileIdle(worker) < 10)
    }
  }

  @Test func `a regular file is refused at the first wait with a clear error, again and again`() async throws
  {
    try await onOneWorker { worker in
      let fd = unsafe culvert_open_read(#filePath, false)
      let bridge = try BridgedFd(adopting: fd)
      for _ in 0..<3 {
        do throws(IoError) {
          _ = try await bridge.asyncCall(.readable) { (_) throws(IoError) -> Int? in nil }
          Issue.record("waited for a file")
        } catch {
          #expect(error.code == .unsupported)
          #expect(error.description.contains("file descriptor \(fd)"))
        }
      }
      await bridge.closed()
      #expect(worker.driver.handle.registrationCount == 0)
    }
  }

  @Test func `a descriptor that is not open is refused and not closed`() throws {
    let closed = Int32(descriptorLimit - 20)
    #expect { _ = try BridgedFd(adopting: closed) } throws: { ($0 as? IoError)?.code == .badDescriptor }
    #expect { _ = try BridgedFd(adopting: -1) } throws: { ($0 as? IoError)?.code == .badDescriptor }
    #expect { _ = try BridgedFd(borrowing: closed) } throws: { ($0 as? IoError)?.code == .badDescriptor }
  }

  @Test(arguments: [1, 2, 100])
  func `closing wakes all who wait with closed`(waiters: Int) async throws {
    try await onOneWorker { worker in
      let (mine, theirs) = try socketPair()
      defer { close(theirs) }
      let bridge = try BridgedFd(adopting: mine)
      let codes = await withTaskGroup(of: IoError.Code?.self) { group in
        for _ in 0..<waiters {
          group.addTask { await failure { try await bridge.asyncCall(.readable, readByte) } }
        }
        await worker.idle()
        await bridge.closed()
        return await group.reduce(into: []) { $0.append($1) }
      }
      #expect(codes == Array(repeating: .closed, count: waiters))
      #expect(!culvert_is_open(mine) || worker.driver.handle.registrationCount == 0)
      #expect(await failure { try await bridge.asyncCall(.readable, readByte) } == .closed)
    }
  }

  @Test(arguments: [1, 2, 100])
  func `one byte each serves every waiter of a direction`(waiters: Int) async throws {
    try await onOneWorker { worker in
      let (mine, theirs) = try socketPair()
      defer { close(theirs) }
      let bridge = try BridgedFd(adopting: mine)
      let sum = try await withThrowingTaskGroup(of: Int.self) { group in
        for _ in 0..<waiters { group.addTask { try await bridge.asyncCall(.readable, readByte) } }
        await worker.idle()
        for _ in 0..<waiters { #expect(writeByte(theirs)) }
        return try await group.reduce(0, +)
      }
      #expect(sum == waiters)
    }
  }

  @Test func `a cancelled wait throws, and the source is as good as before`() async throws {
    try await onOneWorker { worker in
      let (mine, theirs) = try socketPair()
      defer { close(theirs) }
      let bridge = try BridgedFd(adopting: mine)
      for value in 0..<20 {
        let wait = { @Sendable in await failure { try await bridge.asyncCall(.readable, readByte) } }
        let child = Task(executorPreference: worker) { await wait() }
        let owned = try #require(Runtime.current).spawn { await wait() }
        if value % 2 == 0 { await worker.idle() }  // else cancelled before it waits
        child.cancel()
        owned.cancel()
        #expect(await child.value == .cancelled)
        #expect(try await owned.value == .cancelled)
        #expect(writeByte(theirs, UInt8(value)))
        #expect(try await bridge.asyncCall(.readable, readByte) == value)
      }
    }
  }

  @Test func `ready tells what holds, and does not trust a guess`() async throws {
    try await onOneWorker { worker in
      let (mine, theirs) = try socketPair()
      let bridge = try BridgedFd(adopting: mine)
      #expect(try await bridge.ready(for: [.readable, .writable]) == .writable)
      async let readable = bridge.ready(for: .readable)
      await worker.idle()
      #expect(writeByte(theirs))
      #expect(try await readable == .readable)
      async let finished = bridge.ready(for: .peerFinished)
      await worker.idle()
      #expect(shutdown(theirs, Int32(SHUT_WR)) == 0)
      #expect(try await finished == .peerFinished)
      #expect(try await bridge.asyncCall(.readable, readByte) == 1)
      #expect(try await bridge.asyncCall(.readable, readByte) == 256)
      #expect(try await bridge.ready(for: .peerFinished) == .peerFinished)
      close(theirs)
    }
  }

  @Test
  func `a body that finds nothing, though the peer has finished, lets others run, and can be cancelled`()
    async throws
  {
    try await onOneWorker { worker in
      let (mine, theirs) = try socketPair()
      let bridge = try BridgedFd(adopting: mine)
      close(theirs)
      let calls = Tally()
      let looking = Task(executorPreference: worker) {
        await failure {
          try await bridge.asyncCall(.peerFinished) { (_) throws(IoError) -> Int? in
            calls.add()
            return nil
          }
        }
      }
      try await calls.reached(1000)
      looking.cancel()
      #expect(await looking.value == .cancelled)
    }
  }

  @Test func `over its limit of registrations a worker says so, and has room again when one is closed`()
    async throws
  {
    var limits = Limits()
    limits.registrations = 2
    try await onOneWorker(limits: limits) { worker in
      let pairs = try (0..<3).map { _ in try socketPair() }
      let bridges = try pairs.map { try BridgedFd(adopting: $0.0) }
      // Before anybody waits: a task on the pool would have the shared runtime watch them.
      for bridge in bridges[..<2] { try worker.driver.handle.addIoSource(bridge.registration.info) }
      let waits = bridges[..<2].map { bridge in
        Task { await failure { try await bridge.asyncCall(.readable, readByte) } }
      }
      #expect(await failure { try await bridges[2].asyncCall(.readable, readByte) } == .limitReached)
      await bridges[0].closed()
      await worker.idle()
      async let third = bridges[2].asyncCall(.readable, readByte)
      await worker.idle()
      #expect(writeByte(pairs[2].1, 9))
      #expect(try await third == 9)
      await bridges[1].closed()
      for wait in waits { _ = await wait.value }
      for pair in pairs { close(pair.1) }
    }
  }
}
