// SPDX-License-Identifier: Apache-2.0
// The echo server, with netcat.

import Subprocess
import Testing

extension Programs {
  @Suite struct `An echo server` {
    @Test(arguments: ["1", "2"])
    func `sends back what it gets, to the last byte`(workers: String) async throws {
      try await withServer([Program.echo, "--workers", workers]) { _, port in
        // Two megabytes, much more than sockets buffer; -N hangs up after them.
        let script = "seq 400000 | tee /dev/stderr | nc -N 127.0.0.1 \(port)"
        let (status, got, sent) = try await run(["sh", "-c", script])
        #expect(status == .exited(0))
        #expect(got.utf8.count > 2_000_000)
        #expect(got == sent, "\(got.utf8.count) of \(sent.utf8.count) bytes")
      }
    }

    @Test func `goes on with the listener that its supervisor holds`() async throws {
      let supervisor = """
        import os, socket, sys
        listener = socket.create_server(('127.0.0.1', 0))
        os.dup2(listener.fileno(), 3)  # often it is 3 already
        os.set_inheritable(3, True)
        os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()))
        os.execv(sys.argv[1], sys.argv[1:2])
        """
      try await withChild(["python3", "-c", supervisor, Program.echo]) { server in
        let script = "echo hello | nc -N 127.0.0.1 \(try await server.port())"
        let (status, output, _) = try await run(["sh", "-c", script])
        #expect(status == .exited(0) && output == "hello\n")
      }
    }
  }
}
