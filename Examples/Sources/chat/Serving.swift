// SPDX-License-Identifier: Apache-2.0
// The life of a server process: it listens, says so, and goes down when it is told to.
// Shows signals as a sequence, and a synchronous entry into the runtime.

import Culvert
import CulvertTLS

/// Serves a chat until it goes down, at the latest with SIGINT or SIGTERM. `guest` is somebody who takes part
/// from this process. With `tls` clients have to speak it.
func serve(
  _ options: ServerOptions, tls: TlsContext? = nil,
  guest: @escaping @Sendable (ChatServer) async throws -> Void = { _ in }
) throws {
  try Runtime.blockOn(workers: options.workers) { runtime in
    let signals = try await Signals.listen(to: .interrupt, .terminate)
    let questions = try await Signals.listen(to: .user1)
    let address = try SocketAddress(host: options.host, port: Int(options.port))
    let server = try await ChatServer(
      on: address, tls: tls, maximumClients: options.maxClients, in: runtime)
    Screen.write("listening on \(server.address)")
    try await withThrowingTaskGroup(of: Bool.self) { parts in
      parts.addTask {
        try await server.run(in: runtime, until: signals)
        return true
      }
      parts.addTask {
        try await guest(server)
        return false
      }
      parts.addTask {
        for await _ in questions { await Screen.show(runtime.dump()) }
        return false
      }
      // The guest has hung up when the server is down, or its screen is stopped.
      while try await parts.next() == false {}
      parts.cancelAll()
    }
  }
}
