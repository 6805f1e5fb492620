// SPDX-License-Identifier: Apache-2.0
// The server: a listener whose connections become sessions that meet in the hub.

import ChatCore
import ChatServing
import Culvert
import CulvertTLS

/// A chat server on one address.
struct ChatServer: Sendable {
  /// Where it listens.
  let address: SocketAddress
  private let server: Server
  private let hub: ChatHub

  /// Listens; connections wait until `run`. With `tls` clients have to speak it.
  init(
    on wanted: SocketAddress, tls: TlsContext?, maximumClients: Int, in runtime: Runtime
  ) async throws(IoError) {
    let listener = try await TcpListener.bind(wanted)
    let hub = ChatHub(on: runtime.workers[0], maximumClients: maximumClients)
    address = try listener.localAddress
    if let tls {
      server = TlsListener(listener, context: tls).server { stream, _ in
        await ChatSession.run(on: stream, in: hub)
      }
    } else {
      server = listener.server { stream in await ChatSession.run(on: stream, in: hub) }
    }
    self.hub = hub
  }

  /// Serves until the server has gone down, by a signal or by `goDown`: every session has ended, and the port is free.
  func run(in runtime: Runtime, until signals: Signals) async throws {
    async let everybodyIsTold: Void = {
      try await server.draining()
      await hub.handle(.goingDown)
    }()
    try await runtime.run(server, until: signals)
    _ = try? await everybodyIsTold
  }

  /// Takes no more connections and tells everybody; `run` returns when they have heard it, soon in any case.
  func goDown() { server.drain() }
}
