// SPDX-License-Identifier: Apache-2.0
// The server: a listener whose connections become sessions that meet in the hub.

import ChatCore
import Culvert

/// A chat server on one address.
struct ChatServer: Sendable {
  /// Where it listens.
  let address: SocketAddress
  private let listener: TcpListener
  private let hub: ChatHub

  /// Listens; connections wait until `run`.
  init(on wanted: SocketAddress, maximumClients: Int, in runtime: Runtime) async throws(IoError) {
    listener = try await TcpListener.bind(wanted)
    address = try listener.localAddress
    hub = ChatHub(on: runtime.workers[0], maximumClients: maximumClients)
  }

  /// Serves until the server has gone down: every session has ended, and the port is free.
  func run() async throws(IoError) {
    let hub = hub
    try await listener.serve { stream in
      await ChatSession.run(on: stream, in: hub)
    }
    await listener.closed()
  }

  /// Takes no more connections and tells everybody; `run` returns when they have heard it, soon in any case.
  func goDown() async {
    listener.close()
    await hub.handle(.goingDown)
  }
}
