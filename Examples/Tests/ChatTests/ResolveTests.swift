// SPDX-License-Identifier: Apache-2.0
// The resolver: what it prints, and how it fails.

import Subprocess
import Testing

extension Programs {
  @Suite struct `A resolver` {
    @Test func `prints the addresses of a host, one per line`() async throws {
      let (status, output, errors) = try await run([Program.resolve, "localhost"])
      #expect(status == .exited(0) && errors == "")
      let lines = output.split(separator: "\n")
      #expect(!lines.isEmpty && lines.allSatisfy { ["127.0.0.1", "::1"].contains($0) }, "\(output)")
      #expect(try await run([Program.resolve, "::1"]).output == "::1\n")
      #expect(try await run([Program.resolve, "localhost", "--v4"]).output == "127.0.0.1\n")
    }

    @Test func `connects to the port that it is given`() async throws {
      try await withServer([Program.echo]) { _, port in
        let (status, output, _) = try await run([Program.resolve, "localhost", port])
        #expect(status == .exited(0))
        #expect(output.hasSuffix("\nconnected to 127.0.0.1:\(port)\n"))
        #expect(output.contains("127.0.0.1:\(port)\n"))
      }
    }

    @Test(arguments: ["a:b", "no-such-host.invalid", "300.1.1.1", ""])
    func `a wrong host is one line on standard error and exit code 1`(host: String) async throws {
      let (status, output, errors) = try await run([Program.resolve, host])
      #expect(status == .exited(1) && output == "")
      #expect(errors.hasPrefix("Error: resolve ") && errors.contains(host))
      #expect(errors.split(separator: "\n").count == 1)
    }
  }
}
