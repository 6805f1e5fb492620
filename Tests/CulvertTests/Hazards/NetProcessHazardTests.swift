// SPDX-License-Identifier: Apache-2.0
// Bugs that other runtimes had with connecting and accepting, in processes of their own: limits and signals belong to
// the process. Each test is named after its row in the list of hazards.
import CCulvert
import CulvertTesting
import Testing

@testable import Culvert

#if os(Linux)
  @Suite(.timeLimit(watchdog)) struct NetProcessHazardTests {
    /// Allows no descriptor from `number` on; those that are open stay.
    private static func limitDescriptors(to number: Int) {
      var limit = rlimit()
      _ = unsafe getrlimit(.init(RLIMIT_NOFILE.rawValue), &limit)
      limit.rlim_cur = rlim_t(number)
      _ = unsafe setrlimit(.init(RLIMIT_NOFILE.rawValue), &limit)
    }

    @Test func `hazard 25: 200 clients of a server with 64 descriptors are all served, and without a spin`()
      async
    {
      await #expect(processExitsWith: .success) {
        setWatchdog()
        let limit = descriptorLimit
        try #require(limit > 600)
        try await onOneWorker { worker in
          let (pressed, served) = (Tally(), Tally())
          let listener = try await TcpListener.bind(.loopback(port: 0), onPressure: { _ in pressed.add() })
          let target = try listener.localAddress
          // The clients' numbers are beyond the limit that is to come.
          let clients = try (300..<500 as Range<Int32>).map { number -> Int32 in
            let fd = try Socket.stream(for: target.family, during: "test")
            #expect(dup2(fd, number) == number)
            close(fd)
            _ = try Socket.connect(number, to: target, during: "test")
            return number
          }
          Self.limitDescriptors(to: 64)
          async let serving: Void = listener.serve { stream in
            _ = try await stream.read(upTo: 1)
            served.add()
          }
          try await pressed.reached(1)
          let before = worker.driver.turn
          try await sleep(for: .milliseconds(300))
          #expect(worker.driver.turn - before < 60)
          #expect(served.value == 0)
          for client in clients { close(client) }
          try await served.reached(200)
          listener.close()
          try await serving
        }
      }
    }

    @Test func `hazard 25: accept goes on by itself when a descriptor is free again`() async {
      await #expect(processExitsWith: .success) {
        setWatchdog()
        try await onOneWorker { worker in
          let pressed = Tally()
          let listener = try await TcpListener.bind(.loopback(port: 0), onPressure: { _ in pressed.add() })
          let client = try await TcpStream.connect(to: listener.localAddress)
          Self.limitDescriptors(to: 64)
          var taken: [Int32] = []
          while case let fd = dup(client.fd), fd >= 0 { taken.append(fd) }
          let accepting = Task(executorPreference: worker) { try await listener.accept() }
          try await pressed.reached(1)
          await worker.idle()
          // Not one of the library's: nobody tells it.
          close(taken.removeLast())
          _ = try await accepting.value
          #expect(pressed.value == 1)
          for fd in taken { close(fd) }
        }
      }
    }

    @Test(.disabled(if: isChaotic, aTryMayBlock))
    func `hazard 35: a peer that is gone is an error of each way to write, and ends no process`() async {
      await #expect(processExitsWith: .success) {
        setWatchdog()
        signal(SIGPIPE, nil)
        try await onOneWorker { _ in
          let clogged = try TcpStream.clogged()
          async let waiting = failure { try await clogged.stream.write("x") }
          await Task.yield()
          clogged.peer.close()
          #expect(await waiting == .brokenPipe)
          let stream = clogged.stream
          for _ in 0..<3 {
            #expect(await failure { try await stream.write("x") } == .brokenPipe)
            #expect(await failure { try await stream.write(vectored: [[1], [2]]) } == .brokenPipe)
            #expect(await failure { try stream.tryWrite([1]) } == .brokenPipe)
          }
          let (client, server) = try await TcpStream.loopbackPair()
          try server.cut()
          _ = await failure { try await client.read(upTo: 1) }
          #expect(await failure { try await client.write("x") } == .brokenPipe)
          #expect(await failure { try await client.write(vectored: [[1]]) } == .brokenPipe)
        }
        var action = sigaction()
        unsafe sigaction(SIGPIPE, nil, &action)
        #expect(unsafe unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self) == 0)
      }
    }
  }
#endif
