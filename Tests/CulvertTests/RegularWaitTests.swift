// SPDX-License-Identifier: Apache-2.0
// A task that waits again where it waited last is remembered there, and parks without asking its owner. Its cancellation
// must find it all the same, whoever else waits there, and whatever came in between.
import CCulvert
import CulvertTesting
import Testing

@testable import Culvert

/// A source whose home a worker is or will be, and who writes to it.
struct WaitPlace: Sendable {
  let worker: Worker
  let bridge: BridgedFd
  let peer: Int32
  var info: RegistrationInfo { bridge.registration.info }

  init(on worker: Worker) throws {
    self.worker = worker
    let (mine, theirs) = try socketPair()
    bridge = try BridgedFd(adopting: mine)
    peer = theirs
  }

  func read() async -> IoError.Code? {
    await failure { try await bridge.asyncCall(.readable, readByte) }
  }

  /// Returns once that many wait here.
  func awaited(by count: Int = 1) async { await worker.idle { info.snapshot.waits.count == count } }

  /// Has the calling task wait here, and be remembered.
  func waitOnce() async throws {
    bridge.clearReadiness(.readable)
    Task {
      await awaited()
      return writeByte(peer, 3)
    }
    #expect(try await bridge.asyncCall(.readable, readByte) == 3)
    bridge.clearReadiness(.readable)
    #expect(info.isRegular(.current))
  }
}

@Suite(.timeLimit(watchdog)) struct RegularWaitTests {
  @Test func `a task that is cancelled between two waits at one place does not wait again`() async throws {
    try await withRuntime(workers: 1) { runtime in
      let place = try WaitPlace(on: runtime.workers[0])
      defer { close(place.peer) }
      let code = try await runtime.spawn {
        try await place.waitOnce()
        unsafe withUnsafeCurrentTask { unsafe $0?.cancel() }
        // If it waited it would get this.
        let writer = Task {
          await place.awaited()
          return writeByte(place.peer, 4)
        }
        let code = await place.read()
        writer.cancel()
        _ = await writer.value
        return code
      }.value
      #expect(code == .cancelled)
    }
  }

  @Test func `a task that waits where another one is remembered can be cancelled`() async throws {
    try await withRuntime(workers: 2) { runtime in
      let place = try WaitPlace(on: runtime.workers[0])
      defer { close(place.peer) }
      let remembered = Gate()
      let first = runtime.spawn(on: place.worker) {
        try await place.waitOnce()
        remembered.open()
        // It is remembered while its child waits there.
        async let child = place.read()
        return await child
      }
      try await remembered.passed()
      await place.awaited()
      for _ in 0..<20 {
        let elsewhere = Task.detached { await place.read() }
        elsewhere.cancel()
        #expect(await elsewhere.value == .cancelled)
      }
      // Another owner is remembered itself from then on.
      let other = runtime.spawn(on: runtime.workers[1]) { await place.read() }
      await runtime.workers[1].idle()
      other.cancel()
      #expect(try await other.value == .cancelled)
      first.cancel()
      #expect(try await first.value == .cancelled)
    }
  }

  @Test func `a remembered task and its child are cancelled together, each once`() async throws {
    try await withRuntime(workers: 1) { runtime in
      let place = try WaitPlace(on: runtime.workers[0])
      defer { close(place.peer) }
      let task = runtime.spawn {
        try await place.waitOnce()
        async let child = place.read()
        let code = await place.read()
        return [code, await child]
      }
      await place.awaited(by: 2)
      task.cancel()
      #expect(try await task.value == [.cancelled, .cancelled])
    }
  }

  @Test func `a place remembers a task only while its owner has it as the last`() async throws {
    try await withRuntime(workers: 1) { runtime in
      let worker = runtime.workers[0]
      let places = try [WaitPlace(on: worker), WaitPlace(on: worker)]
      defer { for place in places { close(place.peer) } }
      try await Task(executorPreference: worker) {
        try await TaskOwner.scope {
          for (index, place) in places.enumerated() {
            try await place.waitOnce()
            #expect(places.map { $0.info.isRegular(.current) } == [index == 0, index == 1])
          }
        }
        #expect(places.map { $0.info.isRegular(.current) } == [false, false])
      }.value
    }
  }

  @Test(arguments: [Duration.seconds(1), .zero])
  func `when its worker ends a remembered task is told so, and again at the next wait`(
    grace: Duration
  ) async throws {
    var configuration = Runtime.Configuration(workers: 1)
    configuration.limits.shutDownGrace = grace
    let (task, peer) = try await withRuntime(configuration) { runtime in
      let (place, remembered) = (try WaitPlace(on: runtime.workers[0]), Gate())
      let task = runtime.spawn {
        try await place.waitOnce()
        remembered.open()
        return [await place.read(), await place.read()]
      }
      try await remembered.passed()
      await place.awaited()
      return (task, place.peer)
    }
    #expect(try await task.value == [.shutDown, .shutDown])
    close(peer)
  }

  @Test func `a connection that is served remembers its task before it first waits, and cancels it`()
    async throws
  {
    try await withRuntime(workers: 2) { runtime in
      let listener = try await TcpListener.bind("127.0.0.1:0")
      let found = Tally()
      let codes = Locked<[IoError.Code?]>([])
      let serving = runtime.spawn {
        try await listener.serve { stream in
          if stream.registration.info.isRegular(.current) { found.add() }
          let code = await failure { try await stream.read(upTo: 1) }
          codes.withLock { $0.append(code) }
        }
      }
      let address = try listener.localAddress
      let clients = [try await TcpStream.connect(to: address), try await TcpStream.connect(to: address)]
      try await found.reached(2)
      for worker in runtime.workers { await worker.idle() }
      serving.cancel()
      #expect(await failure { try await serving.value } == .cancelled)
      #expect(codes.withLock { $0 } == [.cancelled, .cancelled])
      for client in clients { client.close() }
    }
  }

  @Test func `a worker keeps no room for a burst of tasks`() async throws {
    try await withRuntime(workers: 1) { runtime in
      let driver = runtime.workers[0].driver
      let gate = Gate()
      let tasks = (0..<10_000).map { _ in runtime.spawn { try await gate.passed() } }
      await runtime.workers[0].idle()
      #expect(driver.owners.count > 10_000 && driver.owners.capacity > 10_000)
      gate.open()
      for task in tasks { try await task.value }
      #expect(driver.owners.count == 1 && driver.owners.capacity <= 4_096)
    }
  }
}
