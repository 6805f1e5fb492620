// SPDX-License-Identifier: Apache-2.0
// The chat with a second door: a page and a WebSocket, served by FlyingFox on Culvert. Browsers and netcats share its rooms.
// Run it with `make web-chat`, then open the address that it prints, and `nc 127.0.0.1 7777` from a terminal. With `--cluster` several of
// them share their rooms through a Redis.

import ArgumentParser
import ChatCluster
import Culvert

@main
struct WebChat: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "web-chat", abstract: "A chat for browsers and terminals, on Culvert.")

  @Option(help: "The numeric address to listen on.")
  var host = "127.0.0.1"

  @Option(help: "The port for browsers; 0 picks a free one.")
  var httpPort: UInt16 = 8080

  @Option(help: "The port for terminals; 0 picks a free one.")
  var port: UInt16 = 7777

  @Option(help: "How many clients may be connected at a time.")
  var maxClients = 256

  @Option(
    help: ArgumentHelp(
      "The Redis through which several servers share their rooms.", valueName: "redis://host:port"))
  var cluster: String?

  func validate() throws {
    if let cluster, ClusterAddress(cluster) == nil {
      throw ValidationError("--cluster takes redis://HOST:PORT.")
    }
    if maxClients < 1 { throw ValidationError("--max-clients must be at least 1.") }
  }

  func run() throws {
    let options = self
    try Runtime.blockOn(workers: 1) { runtime in
      let signals = try await Signals.listen(to: .interrupt, .terminate)
      try await ChatDoors(options, in: runtime).run(until: signals)
    }
  }
}
