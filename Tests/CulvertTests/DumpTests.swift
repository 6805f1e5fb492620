// SPDX-License-Identifier: Apache-2.0
import CCulvert
import CulvertTesting
import Testing

@testable import Culvert

@Suite(.timeLimit(watchdog)) struct DumpTests {
  @Test func `the dump says who waits for what on which descriptor, and what is armed`() async throws {
    try await withRuntime(workers: 2) { runtime in
      let worker = runtime.workers[1]
      let listener = try await TcpListener.bind("127.0.0.1:0")
      let (client, server) = try await TcpStream.loopbackPair()
      let waits = [
        runtime.spawn(on: worker) { _ = try await listener.accept() },
        runtime.spawn(on: worker) { _ = try await server.read(upTo: 1) },
        runtime.spawn(on: worker) { _ = try await server.read(upTo: 1) },
        runtime.spawn(on: worker) { try await sleep(for: .seconds(1_000)) },
      ]
      await worker.idle()
      let text = runtime.dump()
      let lines = text.split(separator: "\n")
      let address = try listener.localAddress
      #expect(lines[0].hasPrefix("worker 0: busy for 0."))
      #expect(
        lines.contains {
          $0.hasPrefix("worker 1: ") && $0.contains("0 left by others; 2 descriptors; 1 timer, due in ")
        }, "\(text)")
      #expect(
        lines.contains { $0.hasSuffix(", \(address): ready for writable, armed for readable") }, "\(text)")
      let connection = ", \(try server.localAddress) with \(try client.localAddress): ready for writable, "
      #expect(lines.contains { $0.hasSuffix(connection + "armed for readable") }, "\(text)")
      #expect(lines.count { $0.hasPrefix("    task ") && $0.contains(" waits for readable, for 0.") } == 3)
      for wait in waits { wait.cancel() }
      for wait in waits { #expect(await failure { try await wait.value } == .cancelled) }
      #expect(!runtime.dump().contains("    task "))
      listener.close()
      server.close()
      await worker.idle()
      #expect(runtime.dump().contains("0 left by others; 0 descriptors; 0 timers"))
    }
  }

  @Test func `a stalled worker is told by the dump`() async throws {
    let runtime = try Runtime(Runtime.Configuration(workers: 1))
    let (stalled, go) = (Monitor(false), Monitor(false))
    let task = runtime.spawn {
      stalled.update { $0 = true }
      _ = go.wait { $0 ? true : nil }
    }
    let others = (0..<5).map { _ in runtime.spawn {} }
    _ = stalled.wait { $0 ? true : nil }
    #expect(runtime.dump().contains("worker 0: busy for 0."), "\(runtime.dump())")
    #expect(runtime.dump().contains(" left by others"))
    go.update { $0 = true }
    _ = try await task.value
    for other in others { _ = try await other.value }
    await runtime.shutDown()
    #expect(runtime.dump() == "worker 0: has ended; 0 jobs ready, 0 left by others; 0 descriptors; 0 timers")
  }
}
