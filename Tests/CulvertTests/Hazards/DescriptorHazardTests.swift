// SPDX-License-Identifier: Apache-2.0
// Hazards 1 to 6: closing a descriptor that is waited for, and numbers that are used again.
import CCulvert
import CulvertTesting
import Foundation
import Testing

@testable import Culvert

@Suite(.timeLimit(watchdog)) struct DescriptorHazardTests {
  @Test func `hazard 1: who waits while a task or a thread closes the descriptor gets closed, every time`()
    async throws
  {
    try await withRuntime(workers: 2) { runtime in
      let (home, other) = (runtime.workers[0], runtime.workers[1])
      for round in 0..<rounds(ci: 1_500, stress: 100_000) {
        let (mine, theirs) = try socketPair()
        let bridge = try BridgedFd(adopting: mine)
        let wait = runtime.spawn(on: home) {
          await failure { try await bridge.asyncCall(.readable, readByte) }
        }
        // In every other triple of rounds the close may come before the wait.
        if round % 6 < 3 { await home.idle() }
        switch round % 3 {
        case 0: bridge.close()
        case 1: try await runtime.spawn(on: other) { bridge.close() }.value
        default: await Task.detached { bridge.close() }.value
        }
        #expect(try await wait.value == .closed)
        await bridge.closed()
        close(theirs)
      }
      for worker in runtime.workers {
        await worker.idle()  // a close that came before the wait was armed does not wait for the loop
        #expect(worker.driver.handle.registrationCount == 0)
      }
    }
  }

  @Test func `when a number is closed its registration counts no more`() async throws {
    try await withRuntime(workers: 1) { runtime in
      let worker = runtime.workers[0]
      let (mine, theirs) = try socketPair()
      defer { close(theirs) }
      let bridge = try BridgedFd(adopting: mine)
      let wait = runtime.spawn { await failure { try await bridge.asyncCall(.readable, readByte) } }
      await worker.idle()
      #expect(worker.driver.handle.registrationCount == 1)
      let countThen = Locked<Int?>(nil)
      // Called within the close itself: whoever hears of it may register another at once.
      FdTable.onClose(of: mine, key: 0) {
        let count = worker.driver.handle.registrationCount
        countThen.withLock { $0 = count }
      }
      bridge.close()
      await bridge.closed()
      #expect(try await wait.value == .closed)
      #expect(countThen.withLock { $0 } == 0)
    }
  }

  @Test func `hazard 6: a second registration is refused on any loop, and the first goes on`() async throws {
    try await withRuntime(workers: 2) { runtime in
      let (mine, theirs) = try socketPair()
      defer { close(theirs) }
      let bridge = try BridgedFd(adopting: mine)
      let reader = runtime.spawn(on: runtime.workers[0]) {
        (try await bridge.asyncCall(.readable, readByte), try await bridge.asyncCall(.readable, readByte))
      }
      await runtime.workers[0].idle()
      for worker in runtime.workers {
        let code = try await runtime.spawn(on: worker) { await failure { try BridgedFd(adopting: mine) } }
          .value
        #expect(code == .alreadyRegistered)
      }
      let code = await Task.detached { await failure { try BridgedFd(adopting: mine) } }.value
      #expect(code == .alreadyRegistered && culvert_is_open(mine))
      for value in [1, 2] as [UInt8] {
        #expect(writeByte(theirs, value))
        await runtime.workers[0].idle()
      }
      #expect(try await reader.value == (1, 2))
    }
  }
}

#if os(Linux)
  @Suite(.timeLimit(watchdog)) struct DescriptorProcessHazardTests {
    @Test func `hazard 2: a wait and a close within one turn of the loop, in any order, stop nothing`() async
    {
      await #expect(processExitsWith: .success) {
        setWatchdog()
        try await onOneWorker { worker in
          for round in 0..<rounds(ci: 500, stress: 50_000) {
            let (mine, theirs) = try socketPair()
            let bridge = try BridgedFd(adopting: mine)
            let info = bridge.registration.info
            let wait = { @Sendable in await failure { try await bridge.asyncCall(.readable, readByte) } }
            let (turn, armings) = (worker.driver.turn, worker.driver.armings)
            var task: Task<IoError.Code?, Never>?
            switch round % 5 {
            case 0:  // armed, then closed: here, or by another thread while this one has not polled yet
              task = Task.immediate { await wait() }
              bridge.close()
            case 1:
              task = Task.immediate { await wait() }
              onAnotherThread { bridge.close() }
            case 2:  // closed, then waited for
              bridge.close()
              task = Task.immediate { await wait() }
            case 3:  // both asked for by another thread: the loop finds two messages
              try worker.driver.handle.addIoSource(info)
              onAnotherThread {
                Task.immediate { await wait() }
                bridge.close()
              }
            default:  // the messages the other way round
              try worker.driver.handle.addIoSource(info)
              onAnotherThread {
                bridge.close()
                info.settle()
              }
            }
            #expect(worker.driver.turn == turn)
            #expect(worker.driver.armings == armings + (round % 5 < 2 ? 1 : 0))
            if let task { #expect(await task.value == .closed) }
            await bridge.closed()
            close(theirs)
          }
          await worker.idle()
          #expect(worker.driver.handle.registrationCount == 0)
        }
      }
    }

    @Test func `hazard 3: a number given to a new connection is not silenced by the end of the old one`()
      async
    {
      await #expect(processExitsWith: .success) {
        setWatchdog()
        try await withRuntime(workers: 4) { runtime in
          let listener = try await TcpListener.bind("127.0.0.1:0")
          let address = try listener.localAddress
          let served = runtime.spawn {
            try await listener.serve { stream in
              while let bytes = try await stream.read(upTo: 8) { try await stream.write(bytes) }
            }
          }
          let clients = (0..<8).map { client in
            runtime.spawn(on: runtime.workers[client % 4]) {
              for round in 0..<rounds(ci: 1_600, stress: 1_000_000) / 8 {
                let stream = try await TcpStream.connect(to: address)
                // Low numbers only: all of them are used again and again.
                #expect(stream.fd < 128)
                let byte = UInt8(round % 256)
                try await stream.write([byte])
                #expect(try await stream.read(upTo: 8) == [byte])
                resetOnClose(stream.fd)
                // By another loop's thread than the one that watches it.
                try await runtime.spawn(on: runtime.workers[(client + round) % 4]) { stream.close() }.value
              }
            }
          }
          for client in clients { try await client.value }
          await listener.closed()
          try await served.value
        }
      }
    }

    @Test func `hazard 4: a number closed within a batch of events goes to nobody before the batch ends`()
      async
    {
      await #expect(processExitsWith: .success) {
        setWatchdog()
        try #require(descriptorLimit > 4_000)
        try await onOneWorker { worker in
          var pairs = try (0..<1_000).map { _ in try socketPair() }
          pairs[999].0 = try raise(pairs[999].0, to: 40)
          let bridges = try pairs.map { try BridgedFd(adopting: $0.0) }
          let victim = bridges[999]
          let (served, tries) = (Tally(), Tally())
          @Sendable func replace() throws -> (peer: Int32, read: Task<Int, any Error>) {
            victim.close()
            #expect(culvert_is_open(victim.fd))
            let (mine, theirs) = try socketPair()
            let bridge = try BridgedFd(adopting: mine)
            let read = Task(executorPreference: worker) {
              try await bridge.asyncCall(.readable) { (fd) throws(IoError) in
                tries.add()
                return try readByte(fd)
              }
            }
            return (theirs, read)
          }
          let readers = bridges[..<999].map { bridge in
            Task(executorPreference: worker) {
              #expect(try await bridge.asyncCall(.readable, readByte) == 9)
              // The first one goes on within the poll that found them all: the events of the others are still to come.
              return served.add() == 1 ? (worker.driver.turn, try replace()) : nil
            }
          }
          let last = Task(executorPreference: worker) {
            await failure { try await victim.asyncCall(.readable, readByte) }
          }
          await worker.idle()
          let turn = worker.driver.turn
          for pair in pairs { #expect(writeByte(pair.1, 9)) }
          var replaced: (turn: UInt64, new: (peer: Int32, read: Task<Int, any Error>))?
          for reader in readers { if let found = try await reader.value { replaced = found } }
          let (replacedIn, new) = try #require(replaced)
          #expect(replacedIn - turn <= 1)
          #expect(await last.value == .closed)
          // Its first try, and at most one more for nothing.
          await worker.idle()
          #expect(tries.value <= 2)
          #expect(writeByte(new.peer, 5))
          #expect(try await new.read.value == 5)
          // Given away after the batch, the number is as good as any.
          await victim.closed()
          #expect(!culvert_is_open(victim.fd))
          #expect(dup2(pairs[0].0, victim.fd) == victim.fd)
          async let byte = BridgedFd(adopting: victim.fd).asyncCall(.readable, readByte)
          await worker.idle()
          #expect(writeByte(pairs[0].1, 6))
          #expect(try await byte == 6)
          withExtendedLifetime(bridges) {}  // the first of them has the descriptor that was duplicated
        }
      }
    }

    @Test func `hazard 5: closing a descriptor of which there is a duplicate leaves nothing watched`() async {
      await #expect(processExitsWith: .success) {
        setWatchdog()
        try await onOneWorker { worker in
          for isOffLoop in [false, true] {
            var (mine, theirs) = try socketPair()
            mine = try raise(mine, to: 40)
            let bridge = try BridgedFd(adopting: mine)
            let wait = Task(executorPreference: worker) {
              await failure { try await bridge.asyncCall(.readable, readByte) }
            }
            await worker.idle()
            #expect(try isWatched(mine))
            let copy = try raise(dup(mine), to: 41)
            if isOffLoop { onAnotherThread { bridge.close() } } else { bridge.close() }
            await bridge.closed()
            #expect(await wait.value == .closed)
            #expect(!culvert_is_open(mine) && culvert_is_open(copy))
            for value in 0..<100 { #expect(writeByte(theirs, UInt8(value))) }
            #expect(try !isWatched(mine) && !isWatched(copy))
            #expect(try await turnsWhileIdle(worker) < aFewTurns)
            // Registered anew, the duplicate works.
            let again = try BridgedFd(adopting: copy)
            for value in 0..<100 {
              again.registration.clearReadiness(.readable)
              #expect(try await again.asyncCall(.readable, readByte) == value)
            }
            await again.closed()
            #expect(try !isWatched(copy))
            close(theirs)
          }
        }
      }
    }
  }
#endif
