// SPDX-License-Identifier: Apache-2.0
// libpq on Culvert, against a PostgreSQL of the tests' own.

import Foundation
import Subprocess
import Testing

extension Programs {
  @Suite struct `PostgreSQL through libpq` {
    /// A server in a folder of its own, stopped at the end; `control` starts and stops it meanwhile.
    private func withPostgres(
      _ body: (_ options: String, _ control: (String) async throws -> Void) async throws -> Void
    )
      async throws
    {
      let script = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .appending(path: "../../scripts/postgres").standardized.path
      let folder = "/tmp/culvert-postgres-\(UUID().uuidString.prefix(8))"
      func control(_ what: String) async throws {
        let (status, _, errors) = try await run([
          "sh", "-c",
          "'\(script)' \(what) \(folder) >/dev/null 2>\(folder).log; s=$?; cat \(folder).log >&2; exit $s",
        ])
        try #require(status == .exited(0), "\(errors)")
      }
      try await control("start")
      do {
        try await body("host=\(folder) user=postgres", control)
      } catch {
        try? await control("stop")
        throw error
      }
      try await control("stop")
      _ = try await run(["rm", "-rf", folder, "\(folder).log"])
    }

    @Test func `a thousand notifications are heard in order`() async throws {
      try await withPostgres { options, _ in
        let (status, output, errors) = try await run([
          Program.listenNotify, "--database", options, "--count", "1000",
        ])
        #expect(status == .exited(0), "\(errors)")
        #expect(output.contains("1000 notifications in order"))
      }
    }

    @Test func `when the server is gone it says so, and when it is back it listens again`() async throws {
      try await withPostgres { options, control in
        try await withChild([Program.listenNotify, "--database", options]) { listener in
          try await listener.expect("listening to culvert at PostgreSQL")
          _ = try await output(of: "psql -X '\(options)' -c \"NOTIFY culvert, 'before'\"")
          try await listener.expect("heard before")
          try await control("stop")
          let line = try await listener.expect("! ")
          #expect(line.contains("PostgreSQL: "), "\(line)")
          try await listener.expect("! connect to PostgreSQL: ")
          try await control("start")
          try await listener.expect("listening to culvert")
          _ = try await output(of: "psql -X '\(options)' -c \"NOTIFY culvert, 'after'\"")
          try await listener.expect("heard after")
        }
      }
    }

    @Test func `a server that ends one connection is heard of, and the next one listens`() async throws {
      try await withPostgres { options, _ in
        try await withChild([Program.listenNotify, "--database", options], ends: .byItself) { listener in
          try await listener.expect("listening to culvert")
          let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SHOW%'"
          _ = try await output(of: "psql -X '\(options)' -c \"\(end)\"")
          try await listener.expect("! read from PostgreSQL: ")
          try await listener.expect("listening to culvert")
          try listener.signal(.terminate)
          try await listener.expectEnd()
        }
      }
    }

    @Test func `what speaks no PostgreSQL, and nobody, are an error in words`() async throws {
      try await withChild(["sh", "-c", "yes 'HTTP/1.1 400 Bad Request' | nc -v -l 127.0.0.1 0"]) { imposter in
        let line = try await imposter.expect("istening on")
        let port = line.split(separator: " ").last ?? "0"
        for options in ["host=127.0.0.1 port=\(port) sslmode=disable", "host=/nowhere"] {
          let (status, _, errors) = try await run([
            Program.listenNotify, "--database", options, "--count", "1",
          ])
          #expect(status == .exited(1))
          #expect(errors.hasPrefix("Error: connect to PostgreSQL: "), "\(errors)")
          #expect(errors.split(separator: "\n").count == 1)
        }
      }
    }
  }
}
