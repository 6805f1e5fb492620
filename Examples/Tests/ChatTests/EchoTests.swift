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
  }
}
