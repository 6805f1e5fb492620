// SPDX-License-Identifier: Apache-2.0
// Who may still use a descriptor's number: the loop, a call in flight, a program that is started. And who may not.
import CCulvert
import CulvertTesting
import Foundation
import Testing

@testable import Culvert

@Suite(.timeLimit(watchdog)) struct DescriptorUseTests {
  private func highSource(_ index: Int) throws -> (bridge: BridgedFd, peer: Int32) {
    let (mine, theirs) = try socketPair()
    return (try BridgedFd(adopting: try raise(mine, to: index)), theirs)
  }

  @Test func `a number is not closed before the loop has let go of it`() async throws {
    try await onOneWorker { worker in
      // The first handle is stopped, and kept. The second one, for the same number, is closed, and that takes until the turn's end.
      for isKept in [true, false] {
        let (bridge, peer) = try highSource(30)
        defer { close(peer) }
        async let code = failure { try await bridge.asyncCall(.readable, readByte) }
        await worker.idle()
        bridge.close()
        #expect(culvert_is_open(bridge.fd) == !(isKept && keepsPollHandles))
        await bridge.closed()
        #expect(!culvert_is_open(bridge.fd))
        #expect(worker.driver.handle.registrationCount == 0)
        #expect(await code == .closed)
      }
    }
  }

  @Test func `a number is not closed before the call in flight has returned`() async throws {
    let (bridge, peer) = try highSource(31)
    defer { close(peer) }
    let isOpen = try await bridge.asyncCall(.writable) { (fd) throws(IoError) in
      bridge.close()
      return culvert_is_open(fd)
    }
    #expect(isOpen)
    #expect(!culvert_is_open(bridge.fd))
  }

  @Test func `whoever is woken may come back at once: nobody is woken under a lock`() async throws {
    try await withRuntime(workers: 2) { runtime in
      let (bridge, peer) = try highSource(32)
      defer { close(peer) }
      // On its own worker the task would wait in the lobby, and be run from there later.
      try runtime.workers[1].driver.handle.addIoSource(bridge.registration.info)
      let wait = { @Sendable in await failure { try await bridge.asyncCall(.readable, readByte) } }
      let task = Task(executorPreference: InlineExecutor()) { [await wait(), await wait()] }
      bridge.close()
      #expect(await task.value == [.closed, .closed])
    }
  }

  @Test func `a program that is started does not inherit the duplicate of a borrowed descriptor`() throws {
    let (mine, theirs) = try socketPair()
    defer { for fd in [mine, theirs] { close(fd) } }
    let bridge = try BridgedFd(borrowing: mine)
    #expect(fcntl(bridge.fd, F_GETFD) & FD_CLOEXEC != 0)
  }

  #if FaultInjection
    @Test func `a close that a signal interrupts is not tried again: the number may be somebody else's`()
      async throws
    {
      let (mine, theirs) = try socketPair()
      defer { close(theirs) }
      let script = FaultScript()
      script.add(.failAfterwards(EINTR), to: [.close])
      #expect(await script.run { Descriptor(adopting: mine).close() })
      #expect(script.injected[.close] == 1)
    }

    /// In a process of its own: a pause ends when any descriptor of this library is closed.
    @Test func `for want of descriptors accept tries again only after its pauses, and can be cancelled`()
      async
    {
      await #expect(processExitsWith: .success) {
        let script = FaultScript()
        script.add(.fail(EMFILE), to: [.accept])
        try await script.run {
          try await withRuntime(workers: 1) { runtime in
            let listener = try await TcpListener.bind("127.0.0.1:0")
            let client = try await TcpStream.connect(to: listener.localAddress)
            let task = runtime.spawn { try await listener.accept() }
            try await sleep(for: .milliseconds(60))
            task.cancel()
            let code = await failure { try await task.value }
            #expect(code == .cancelled && (2...20).contains(script.injected[.accept] ?? 0))
            client.close()
          }
        }
      }
    }
  #endif
}
