// SPDX-License-Identifier: Apache-2.0
// The life of a server process: it listens, says so, and goes down when it is told to.
// Shows signals as a sequence, and a synchronous entry into the runtime.

import Culvert

private enum Part { case server, guest, signals, clock }

/// Serves a chat until it goes down, at the latest with SIGINT or SIGTERM. `guest` is somebody who takes part
/// from this process.
func serve(
  _ options: ServerOptions, guest: @escaping @Sendable (ChatServer) async throws -> Void = { _ in }
) throws {
  try Runtime.blockOn(workers: options.workers) { runtime in
    let signals = try await Signals.listen(to: .interrupt, .terminate)
    let address = try SocketAddress(host: options.host, port: Int(options.port))
    let server = try await ChatServer(on: address, maximumClients: options.maxClients, in: runtime)
    Screen.write("listening on \(server.address)")
    try await run(server, until: signals, with: guest)
  }
}

private func run(
  _ server: ChatServer, until signals: Signals,
  with guest: @escaping @Sendable (ChatServer) async throws -> Void
) async throws {
  try await withThrowingTaskGroup(of: Part.self) { parts in
    parts.addTask {
      for await _ in signals { await server.goDown() }
      return .signals
    }
    parts.addTask {
      try await guest(server)
      return .guest
    }
    parts.addTask {
      try await server.run()
      return .server
    }
    var open: Set<Part> = [.server, .guest]
    while !open.isEmpty, let ended = try await parts.next(), ended != .clock {
      open.remove(ended)
      if ended == .server {
        // The guest is told like everybody, and has a moment to show it: not more, its screen may be stopped.
        parts.addTask {
          try? await sleep(for: .seconds(1))
          return .clock
        }
      }
    }
    parts.cancelAll()
  }
}
