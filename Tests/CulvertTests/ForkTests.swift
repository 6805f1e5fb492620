// SPDX-License-Identifier: Apache-2.0
// Hazard 34: a process that forks or starts another while a runtime runs.
import CCulvert
import CulvertTesting
import Foundation
import Testing

@testable import Culvert

#if os(Linux)
  /// The C library's fork, which Swift hides: the C code of a program may call it.
  private let fork: @convention(c) () -> pid_t = {
    unsafe unsafeBitCast(dlsym(nil, "fork")!, to: (@convention(c) () -> pid_t).self)
  }()

  /// What the child returned as its exit code.
  private func exitCode(of child: pid_t) -> Int32 {
    var status: Int32 = 0
    while unsafe waitpid(child, &status, 0) < 0, culvert_errno() == EINTR {}
    return status & 0x7f == 0 ? (status >> 8) & 0xff : -(status & 0x7f)
  }

  private func isCloseOnExec(_ fd: Int32) -> Bool { fcntl(fd, F_GETFD) & FD_CLOEXEC != 0 }

  @Suite(.timeLimit(watchdog)) struct ForkTests {
    @Test(arguments: [true, false])
    func `hazard 34: after fork a wait fails at once in the child, and the parent goes on`(onWorker: Bool)
      async
    {
      await #expect(processExitsWith: .success) { [onWorker = onWorker as Bool] in
        let runtime = try Runtime(Runtime.Configuration(workers: 1))
        let worker = runtime.workers[0]
        let (client, server) = try await TcpStream.loopbackPair()
        let silent = try await TcpStream.loopbackPair()
        let reader = runtime.spawn { try await server.read(upTo: 1) }
        let forker = { @Sendable () async -> pid_t in
          let child = fork()
          if child != 0 { return child }
          // Armed before, never waited for before, a sleep, and what would not have to wait; and letting go of one that is armed.
          let codes = [
            await failure { try await server.read(upTo: 1) },
            await failure { try await silent.server.read(upTo: 1) },
            await failure { try await sleep(for: .milliseconds(1)) },
            await failure { try await silent.client.write([1]) },
          ]
          server.close()
          _exit(codes == [.shutDown, .shutDown, .shutDown, .shutDown] ? 7 : 1)
        }
        await worker.idle()
        let child = onWorker ? try await runtime.spawn(forker).value : await Task { await forker() }.value
        #expect(exitCode(of: child) == 7)
        // What is armed here is armed still: the child's close did not reach the epoll set that it shares.
        try await client.write("x")
        #expect(try await reader.value == [UInt8(ascii: "x")])
        await runtime.shutDown()
      }
    }

    @Test(.disabled(if: isSanitized, "a sanitizer has its own exit code for a process that was forked"))
    func `hazard 34: a worker in a forked child never turns the loop that it shares`() async {
      await #expect(processExitsWith: .success) {
        let runtime = try Runtime(Runtime.Configuration(workers: 1))
        let child = try await runtime.spawn {
          let child = fork()
          // In the child the job goes on, then the worker has nothing to run, and its thread, the only one, ends.
          if child == 0 { try await Gate().passed() }
          return child
        }.value
        #expect(exitCode(of: child) == 0)
        #expect(try await runtime.spawn { 5 }.value == 5)
        await runtime.shutDown()
      }
    }

    @Test func `a fork can have a runtime of its own`() async {
      await #expect(processExitsWith: .success) {
        let runtime = try Runtime(Runtime.Configuration(workers: 1))
        try await runtime.spawn { try await sleep(for: .microseconds(1)) }.value
        let child = fork()
        if child == 0 {
          let result = try? Runtime.blockOn { _ in
            let (client, server) = try await TcpStream.loopbackPair()
            async let got = server.read(upTo: 10)
            try await client.write("hello")
            return try await got
          }
          _exit(result == Array("hello".utf8) ? 7 : 1)
        }
        #expect(exitCode(of: child) == 7)
        await runtime.shutDown()
      }
    }

    @Test(.disabled(if: isSanitized, "a sanitizer starts no thread in a process that was forked"))
    func `in a fork a resolver that was made before looks nothing up, and a new one does`() async {
      await #expect(processExitsWith: .success) {
        let runtime = try Runtime(Runtime.Configuration(workers: 1))
        let resolver = SystemResolver()
        #expect(try await runtime.spawn { try await resolver.resolve("localhost", port: 1) }.value.count > 0)
        let child = fork()
        if child == 0 {
          let codes = try? Runtime.blockOn { _ in
            [
              await failure { try await resolver.resolve("localhost", port: 1) },
              await failure { try await SystemResolver().resolve("localhost", port: 1) },
            ]
          }
          _exit(codes == [.shutDown, nil] ? 7 : 1)
        }
        #expect(exitCode(of: child) == 7)
        await runtime.shutDown()
      }
    }

    @Test func `hazard 34: a program that is executed inherits no descriptor of ours`() async {
      await #expect(processExitsWith: .success) {
        // What this process got from the one that runs the tests is not ours.
        let before =
          (0..<descriptorLimit).count { culvert_is_open(Int32($0)) && !isCloseOnExec(Int32($0)) } + 1
        try await withRuntime(workers: 2) { runtime in
          let (client, server) = try await TcpStream.loopbackPair()
          let listener = try await TcpListener.bind("127.0.0.1:0")
          async let accepted = failure { try await listener.accept() }
          async let read = failure { try await server.read(upTo: 1) }
          let signals = try await Signals.listen(to: .user1)
          let clogged = try TcpStream.clogged()
          await runtime.workers[0].idle()
          #expect(unsafe system("test $(ls /proc/self/fd | wc -l) = \(before)") == 0)
          listener.close()
          server.close()
          _ = (await accepted, await read, signals, clogged, client)
        }
      }
    }
  }
#endif
