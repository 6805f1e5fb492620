// SPDX-License-Identifier: Apache-2.0
// Reads and writes that wait only so long: told so when it is over, and without a trace when it is not.
import CulvertTesting
import Testing

@testable import Culvert

private let soon = Duration.milliseconds(2)

@Suite(.timeLimit(watchdog)) struct WaitLimitTests {
  /// Timers that the calling worker has.
  private var timers: Int { Worker.current?.driver.handle.timers.count ?? 0 }

  @Test(arguments: Place.allCases)
  func `a read that gets nothing for too long is told so, never early, and can be tried again`(place: Place)
    async throws
  {
    try await place.run {
      let (client, server) = try await TcpStream.loopbackPair()
      server.readTimeout = soon
      for round in 0..<5 {
        let start = MonotonicTime.now
        let error = await thrown { try await server.read(upTo: 1) }
        #expect(MonotonicTime.now - start >= 2_000_000)
        #expect(error?.code == .timedOut && error?.operation == "read from \(server)")
        try await client.write([UInt8(round)])
        server.readTimeout = nil
        #expect(try await server.read(upTo: 9) == [UInt8(round)])
        server.readTimeout = soon
      }
      #expect(timers == 0)
    }
  }

  @Test(arguments: Place.allCases)
  func `a write that gets rid of nothing for too long says how much went out`(place: Place) async throws {
    try await place.run {
      let clogged = try TcpStream.clogged()
      clogged.stream.writeTimeout = soon
      let error = await thrown { try await clogged.stream.write("x") }
      #expect(error?.code == .timedOut && error?.bytesWritten == 0)
      async let rest: Void = clogged.unclog()
      clogged.stream.writeTimeout = .seconds(3600)
      try await clogged.stream.write("y")
      try await rest
      #expect(try await clogged.peer.read(upTo: 9) == Array("y".utf8))
      #expect(timers == 0)
    }
  }

  @Test func `what comes in time is read, and leaves no timer`() async throws {
    try await onOneWorker { worker in
      let (client, server) = try await TcpStream.loopbackPair()
      server.readTimeout = .seconds(3600)
      for number in 0..<100 {
        async let read = server.read(upTo: 1)
        await worker.idle { timers == 1 }
        try await client.write([UInt8(number)])
        #expect(try await read == [UInt8(number)])
        #expect(timers == 0)
      }
    }
  }

  @Test func `the wait ends as it would without a limit, and leaves no timer`() async throws {
    try await onOneWorker { worker in
      for ending in 0..<3 {
        let (client, server) = try await TcpStream.loopbackPair()
        server.readTimeout = .seconds(3600)
        await withTaskGroup(of: IoError.Code?.self) { group in
          group.addTask { await failure { try await server.read(upTo: 1) } }
          await worker.idle { timers == 1 }
          switch ending {
          case 0: group.cancelAll()
          case 1: server.close()
          default: client.reset()
          }
          let codes: [IoError.Code] = [.cancelled, .closed, .connectionReset]
          #expect(await group.next() == codes[ending])
        }
        #expect(timers == 0)
      }
    }
  }

  @Test func `each direction has its own limit, and each task its own wait`() async throws {
    try await onOneWorker { worker in
      let (client, server) = try await TcpStream.loopbackPair()
      server.readTimeout = soon
      #expect(server.readTimeout == soon && server.writeTimeout == nil)
      // Three at once, each told.
      async let codes = [
        failure { try await server.read(upTo: 1) }, failure { try await server.readable() },
        failure { try await server.ready(for: [.readable, .peerFinished]) },
      ]
      #expect(await codes == [.timedOut, .timedOut, .timedOut])
      async let finished: Void = server.peerFinished()
      await worker.idle()
      #expect(timers == 0)
      server.readTimeout = .zero
      #expect(await failure { try await server.read(upTo: 1) } == .timedOut)
      server.readTimeout = .seconds(Int64.max)
      client.close()
      try await finished
      #expect(try await server.read(upTo: 1) == nil)
    }
  }

  @Test func `waiting for connections and for datagrams can be limited, too`() async throws {
    try await onOneWorker { _ in
      let listener = try await TcpListener.bind(.loopback(port: 0))
      listener.readTimeout = soon
      #expect(await failure { try await listener.accept() } == .timedOut)
      let socket = try await UdpSocket.bind(.loopback(port: 0))
      socket.readTimeout = soon
      #expect(await failure { try await socket.receive(upTo: 10) } == .timedOut)
      let (reader, writer) = try PipeReader.pair()
      reader.readTimeout = soon
      #expect(await failure { try await reader.read(upTo: 1) } == .timedOut)
      writer.close()
    }
  }

  @Test func `a task of another worker, and a child of it, are told by timers of their own`() async throws {
    try await withRuntime(workers: 2) { runtime in
      let (client, server) = try await TcpStream.loopbackPair()
      server.readTimeout = soon
      // At home on worker 0.
      #expect(await failure { try await server.read(upTo: 1) } == .timedOut)
      let elsewhere = runtime.spawn(on: runtime.workers[1]) {
        for _ in 0..<50 {
          async let code = failure { try await server.read(upTo: 1) }
          #expect(await code == .timedOut)
        }
      }
      try await elsewhere.value
      #expect(runtime.workers.allSatisfy { $0.driver.handle.timers.count == 0 })
      client.close()
    }
  }

  @Test func `the end of the runtime ends limited waits, and refuses new ones`() async throws {
    let runtime = try Runtime(Runtime.Configuration(workers: 1))
    let ended = runtime.spawn {
      let (client, server) = try await TcpStream.loopbackPair()
      server.readTimeout = .seconds(3600)
      let first = await failure { try await server.read(upTo: 1) }
      let second = await failure { try await server.read(upTo: 1) }
      client.close()
      return [first, second]
    }
    await runtime.workers[0].idle { runtime.workers[0].driver.handle.timers.count == 1 }
    await runtime.shutDown()
    #expect(try await ended.value == [.shutDown, .shutDown])
  }

  @Test
  func `a limit that is due before the wait has begun is not forgotten, and one that is lifted wakes nobody`()
    async throws
  {
    try await onOneWorker { worker in
      // The time stands still, or a stall would have it look again.
      let time = VirtualTime()
      time.move(to: 1)
      let queue = TimerQueue(time) {}
      let place = Scene()
      let task = unsafe worker.runtime?.spawn(on: worker) { await place.wait(for: ()) }
      // The limit is set, and due, before the task is there.
      place.task.withLock { $0 = nil }
      _ = queue.limitWait(of: TaskIdentity(address: 1), at: place, until: 1)
      queue.expire()
      #expect(queue.count == 1 && place.lookedFor.withLock { $0 } == 1)
      await worker.idle()
      queue.liftLimit(of: TaskIdentity(address: 1))
      #expect(queue.count == 0)
      let there = try #require(place.task.withLock { $0 })
      #expect(queue.limitWait(of: there, at: place, until: 1))
      queue.expire()
      #expect(try await task?.value == .timedOut && queue.count == 0)
      queue.close()
      #expect(!queue.limitWait(of: there, at: place, until: 1))
    }
  }
}

/// A place where one task waits.
private final class Scene: ParkingPlace, TimedPlace {
  let task = Locked<TaskIdentity?>(nil)
  let lookedFor = Locked(0)
  private let waiter = Locked<Waiter?>(nil)

  func park(_ waiter: Waiter, for request: Void) -> Parking {
    task.withLock { $0 = waiter.task }
    self.waiter.withLock { $0 = waiter }
    return .kept
  }

  func cancelWait(of task: TaskIdentity) { takeWaiter(of: task)?.wake(.cancelled) }

  func takeWaiter(of task: TaskIdentity) -> Waiter? {
    lookedFor.withLock { $0 += 1 }
    return waiter.withLock { waiter in
      guard waiter?.task == task else { return nil }
      defer { waiter = nil }
      return waiter
    }
  }
}
