// SPDX-License-Identifier: Apache-2.0
// Hazards 12, 13, 17, 23: half-closes, hang-ups and errors, short reads, and handles closed by their own event.
import CCulvert
import CulvertTesting
import Foundation
import Testing

@testable import Culvert

@Suite(.timeLimit(watchdog)) struct EndingHazardTests {
  @Test(.disabled(if: isChaotic, aTryMayBlock))
  func `hazard 12: a peer that half-closes while our buffer is full costs no turns, and our write goes on`()
    async throws
  {
    try await onOneWorker { worker in
      let (client, server) = try await TcpStream.loopbackPair()
      async let written: Void = client.write(much)
      let finished = Task(executorPreference: worker) { try await client.ready(for: .peerFinished) }
      async let end = client.read(upTo: 1)
      await worker.idle()
      try server.shutdown()
      #expect(try await end == nil)
      if Platform.canWaitForPeerFinished { #expect(try await finished.value == .peerFinished) }
      #expect(try await turnsWhileIdle(worker) < aFewTurns)
      #expect(try client.tryWrite([1]) == nil)
      #expect(try await server.readExactly(much.count).count == much.count)
      try await written
      try await client.write("more")
      #expect(try await server.readExactly(4) == Array("more".utf8))
    }
  }

  @Test func `hazard 12: the end of a pipe, told by a hang-up alone, wakes its reader and its writer`()
    async throws
  {
    try await onOneWorker { worker in
      let (empty, writing) = try pipeEnds()
      let source = try BridgedFd(adopting: empty)
      async let end = source.asyncCall(.readable, readByte)
      let (reading, full) = try pipeEnds()
      let sink = try BridgedFd(adopting: full)
      fillPipe(full)
      async let broken = sink.ready(for: .writable)
      await worker.idle()
      close(writing)
      close(reading)
      #expect(try await end == 256)
      // An error condition counts as ready: the next write would tell (and raise SIGPIPE in this process).
      #expect(try await broken == .writable)
      #expect(try await turnsWhileIdle(worker) < aFewTurns)
    }
  }

  @Test(arguments: [Source.tcp, .unix, .pipe], [false, true])
  func `hazard 13: a peer that ends while nobody waits is noticed by the next wait, after its data`(
    source: Source, isWaitCancelled: Bool
  ) async throws {
    try await onOneWorker { worker in
      let (mine, theirs) = try await source.make()
      let bridge = try BridgedFd(adopting: mine)
      let first = Task(executorPreference: worker) { try await bridge.asyncCall(.readable, readByte) }
      await worker.idle()
      if isWaitCancelled { first.cancel() }
      for byte in 1...4 as ClosedRange<UInt8> { #expect(source.send(theirs, [byte])) }
      if !isWaitCancelled { #expect(try await first.value == 1) }
      // Events that find nobody: the loop has stopped watching, and does not see the end.
      await worker.idle()
      close(theirs)
      await worker.idle()
      var got: [UInt8] = []
      while case let some = try await bridge.waitAndRead(), !some.isEmpty { got += some }
      #expect(got == (isWaitCancelled ? [1, 2, 3, 4] : [2, 3, 4]))
      // And again: the end stays.
      #expect(try await bridge.waitAndRead() == [])
    }
  }

  @Test(arguments: Source.allCases, [false, true])
  func `hazard 17: after a short read that was taken for the last, the next one still finds what came`(
    source: Source, hasOthers: Bool
  ) async throws {
    try await onOneWorker { worker in
      let (mine, theirs) = try await source.make()
      let bridge = try BridgedFd(adopting: mine)
      let reader = Task(executorPreference: worker) { try await bridge.waitAndRead() }
      await worker.idle()
      #expect(source.send(theirs, [65, 10]))
      // For datagrams the short read leaves a second one behind.
      if hasOthers { #expect(source.send(theirs, [66, 10])) }
      var got = try await reader.value
      await worker.idle()
      if !hasOthers { #expect(source.send(theirs, [66, 10])) }
      while got.count < 4 { got += try await bridge.waitAndRead() }
      #expect(got == [65, 10, 66, 10])
      // The same, but with somebody waiting when it comes.
      async let third = bridge.waitAndRead()
      await worker.idle()
      #expect(source.send(theirs, [67, 10]))
      #expect(try await third == [67, 10])
      let last = Task(executorPreference: worker) { try await bridge.waitAndRead() }
      await worker.idle()
      close(theirs)
      if !source.hasEnd { bridge.close() }
      switch await last.result {
      case .success(let bytes): #expect(bytes == [] && source.hasEnd)
      // A terminal whose other end is gone may call that an error.
      case .failure(let error): #expect((error as? IoError)?.code == .closed || source == .terminal)
      }
    }
  }
}

/// Writes to a non-blocking pipe until it is full.
private func fillPipe(_ fd: Int32) {
  let block = [UInt8](repeating: 0, count: 4_096)
  while unsafe write(fd, block, block.count) > 0 {}
}

#if os(Linux)
  /// What a poll callback may report.
  private enum Event: CaseIterable {
    case data, hangUp, error, reset

    var source: Source {
      switch self {
      case .data: .unix
      case .hangUp: .pipe
      case .error: .pipeToWrite
      case .reset: .tcp
      }
    }

    func happen(_ theirs: Int32) {
      if self == .data { return #expect(writeByte(theirs)) }
      if self == .reset { resetOnClose(theirs) }
      close(theirs)
    }
  }

  /// Calls of libuv's, by the functions that make them.
  enum OffThreadCall: CaseIterable, Codable {
    case turn, watch, arm, letGo, watchSignal

    func make(on driver: IoDriver, _ watched: BridgedFd) throws {
      switch self {
      case .turn: driver.processIo(wait: false)
      case .watch: _ = try driver.watch(watched.registration.info)
      case .arm: watched.registration.info.reconcile(with: driver)
      case .letGo: watched.registration.info.release(from: driver)
      case .watchSignal: try driver.add(SignalWatch([SIGUSR2]))
      }
    }
  }

  @Suite(.timeLimit(watchdog)) struct EndingProcessHazardTests {
    @Test func `hazard 23: a task that runs within its wake may close and cancel there, whatever woke it`()
      async
    {
      await #expect(processExitsWith: .success) {
        setWatchdog()
        var limits = Limits()
        limits.callsPerJob = 100_000
        try await onOneWorker(limits: limits) { worker in
          let executor = InlineExecutor()
          for round in 0..<rounds(ci: 400, stress: 100_000) {
            let event = Event.allCases[round % Event.allCases.count]
            let (mine, theirs) = try await event.source.make()
            let bridge = try BridgedFd(adopting: mine)
            if event == .error { fillPipe(mine) }
            try worker.driver.handle.addIoSource(bridge.registration.info)
            let other = Task(executorPreference: worker) {
              await failure { try await bridge.ready(for: .peerFinished) }
            }
            let first = Task(executorPreference: executor) {
              _ = await failure {
                if event == .error { return _ = try await bridge.ready(for: .writable) }
                _ = try await bridge.asyncCall(.readable, readByte)
              }
              // Now the loop is in the middle of this descriptor's callback.
              #expect(worker.driver.handle.isCurrent)
              if round % 8 < 4 { other.cancel() }
              bridge.close()
            }
            await worker.idle()
            #expect(worker.driver.handle.registrationCount == 1)
            event.happen(theirs)
            await first.value
            _ = await other.value
            await bridge.closed()
            if event == .data { close(theirs) }
          }
          await worker.idle()
          #expect(worker.driver.handle.registrationCount == 0)
        }
      }
    }

    #if DEBUG
      @Test(arguments: OffThreadCall.allCases)
      func `hazard 24: a call of libuv's on another thread than its loop's stops a debug build`(
        call: OffThreadCall
      ) async throws {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
          [call] in
          try await withRuntime(workers: 2) { runtime in
            let (mine, _) = try socketPair()
            let bridge = try BridgedFd(adopting: mine)
            runtime.spawn(on: runtime.workers[1]) { try await bridge.asyncCall(.readable, readByte) }
            await runtime.workers[1].idle()
            // This is the first worker's thread.
            try call.make(on: runtime.workers[1].driver, bridge)
          }
        }
        let output = String(decoding: try #require(result).standardErrorContent, as: UTF8.self)
        #expect(output.contains("libuv called off its loop's thread"))
      }
    #endif
  }
#endif
