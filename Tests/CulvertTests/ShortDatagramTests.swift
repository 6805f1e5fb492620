// SPDX-License-Identifier: Apache-2.0
// A datagram that is there is received, and one for which there is room is sent, at once, without being an async function: by a
// worker's task, by its child, by other threads, and when the worker has ended.
import CulvertTesting
import Testing

@testable import Culvert

@Suite(.timeLimit(watchdog)) struct ShortDatagramTests {
  @Test(arguments: Caller.allCases)
  func `whoever sends and receives, on whatever thread, each arrives once and in order`(caller: Caller)
    async throws
  {
    try await withRuntime(workers: 1) { runtime in
      let pair = try await UdpPair().connected()
      try await caller.run(on: runtime) {
        var buffer: [UInt8] = [0, 0]
        for value in 0..<250 as Range<UInt8> {
          try await pair.one.send([value])
          if value % 2 == 0 { continue }
          for expected in [value - 1, value] {
            let datagram = try await pair.other.receive(into: &buffer)
            #expect(datagram.count == 1 && buffer[0] == expected)
          }
        }
      }
    }
  }

  @Test(.disabled(if: isChaotic, aTryMayBlock), arguments: Caller.allCases)
  func
    `after the worker's end what is there is received, who would wait is told, and so is who comes after a close`(
      caller: Caller
    ) async throws
  {
    let pair = try await withRuntime(workers: 1) { runtime in
      let pair = try await UdpPair().connected()
      // It has a home from now on.
      async let datagram = pair.other.receive(upTo: 1)
      await runtime.workers[0].idle()
      try await pair.one.send([1])
      _ = try await datagram
      return pair
    }
    try await withRuntime(workers: 1) { runtime in
      let codes = Locked<[IoError.Code?]>([])
      try await caller.run(on: runtime) {
        try await pair.one.send([2])
        var buffer: [UInt8] = [0]
        #expect(try await pair.other.receive(into: &buffer).count == 1 && buffer == [2])
        let waiting = await failure { try await pair.other.receive(upTo: 1) }
        pair.one.close()
        let closed = await failure { try await pair.one.send([3]) }
        codes.withLock { $0 = [waiting, closed] }
      }
      #expect(codes.withLock { $0 } == [.shutDown, .closed])
    }
  }

  @Test func `datagrams that need not be waited for let others run, and a cancellation is noticed`()
    async throws
  {
    var limits = Limits()
    limits.callsPerJob = 10
    try await onOneWorker(limits: limits) { worker in
      let pair = try await UdpPair().connected()
      let others = Tally()
      let busy = Task(executorPreference: worker) {
        var buffer: [UInt8] = [0]
        for _ in 0..<50 {
          try await pair.one.send([0])
          _ = try await pair.other.receive(into: &buffer)
        }
        return others.value
      }
      let counting = Task(executorPreference: worker) {
        while !Task.isCancelled {
          others.add()
          await Task.yield()
        }
      }
      // 100 calls, of which 10 may be made in a row.
      #expect(try await busy.value >= 8)
      counting.cancel()
      await counting.value
      let endless = Task(executorPreference: worker) {
        while true { try await pair.one.send([0]) }
      }
      await Task.yield()
      endless.cancel()
      #expect(await failure { try await endless.value } == .cancelled)
    }
  }
}
