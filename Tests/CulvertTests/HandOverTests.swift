// SPDX-License-Identifier: Apache-2.0
// What one thread leaves for a loop's thread: never too late, never lost, not after the end.
import CCulvert
import CulvertTesting
import Testing

@testable import Culvert

@Suite(.timeLimit(watchdog)) struct HandOverTests {
  @Test func `a message that is left while the box is being emptied rings again`() throws {
    let loop = try UvLoop()
    let inbox = Inbox<Int>(IoDriverUnparker(try UvAsync(loop)))
    #expect(inbox.post(1))
    loop.run(wait: true)
    var got: [Int] = []
    inbox.take { message in
      got.append(message)
      #expect(inbox.post(2))
    }
    #expect(got == [1])
    loop.run(wait: true)  // returns, for it has been rung
    inbox.take { got.append($0) }
    #expect(got == [1, 2])
  }

  @Test func `a box that is closed gives back what is in it, and takes no more`() throws {
    let loop = try UvLoop()
    let inbox = Inbox<Int>(IoDriverUnparker(try UvAsync(loop)))
    for message in 1...3 { #expect(inbox.post(message)) }
    #expect(inbox.close() == [1, 2, 3])
    #expect(!inbox.post(4))
    #expect(inbox.close().isEmpty)
  }

  @Test func `a source is bound once, to the first who binds it, and counts once`() async throws {
    try await withRuntime(workers: 2) { runtime in
      let (mine, theirs) = try socketPair()
      defer { close(theirs) }
      let bridge = try BridgedFd(adopting: mine)
      let handles = runtime.workers.map(\.driver.handle)
      for handle in handles + handles { try handle.addIoSource(bridge.registration.info) }
      #expect(handles.map(\.registrationCount) == [1, 0])
      await bridge.closed()
      #expect(handles.map(\.registrationCount) == [0, 0])
    }
  }

  @Test func `a wait of which its driver can no longer be told gets shutDown`() async throws {
    let runtime = try Runtime(Runtime.Configuration(workers: 1))
    let (mine, theirs) = try socketPair()
    defer { close(theirs) }
    let bridge = try BridgedFd(adopting: mine)
    try runtime.workers[0].driver.handle.addIoSource(bridge.registration.info)
    await runtime.shutDown()
    #expect(await failure { try await bridge.asyncCall(.readable, readByte) } == .shutDown)
    await bridge.closed()
  }

  @Test func `a task that a message makes ready does not wait for the poll`() async throws {
    let runtime = try Runtime(Runtime.Configuration(workers: 1))
    let worker = runtime.workers[0]
    let gate = Gate()
    let task = runtime.spawn { try await gate.passed() }
    await worker.idle()
    #expect(worker.driver.handle.perform { _ in gate.open() })
    try await task.value
    await runtime.shutDown()
  }

  @Test func `an idle worker ends when it is asked to`() async throws {
    let runtime = try Runtime(Runtime.Configuration(workers: 1))
    await runtime.workers[0].idle()  // it has looked whether it should end, and sleeps now or is about to
    await runtime.shutDown()
  }

  @Test func `whoever waits for an idle worker and a condition notices what another thread makes hold`()
    async throws
  {
    try await onOneWorker { worker in
      let (asked, holds) = (Tally(), Tally())
      async let idle: Void = worker.idle {
        asked.add()
        return holds.value == 1
      }
      try await asked.reached(1)
      await worker.idle()  // it sleeps now, or is about to
      holds.add()
      await idle
    }
  }

  @Test func `a task that is still busy when its runtime ends goes on elsewhere`() async throws {
    var configuration = Runtime.Configuration(workers: 1)
    configuration.limits.shutDownGrace = .zero
    let runtime = try Runtime(configuration)
    let (begun, ending) = (Gate(), Gate())
    let busy = runtime.spawn {
      begun.open()
      try await ending.passed()
      while Worker.current != nil { await Task.yield() }
      return true
    }
    try await begun.passed()
    ending.open()
    await runtime.shutDown()
    #expect(try await busy.value)
  }
}
