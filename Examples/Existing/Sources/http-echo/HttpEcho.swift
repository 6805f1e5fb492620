// SPDX-License-Identifier: Apache-2.0
// A server of FlyingFox, as it is, whose sockets wait on Culvert, or on FlyingFox's own pool to compare.
// Run it with `swift run http-echo`, and then `curl http://127.0.0.1:8080/hello`.

import ArgumentParser
import Culvert
import FlyingFox
import FlyingFoxCulvert
import FlyingSocks
import Foundation

@main
struct HttpEcho: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "http-echo", abstract: "FlyingFox, an HTTP server, on Culvert.")

  enum Pool: String, ExpressibleByArgument, CaseIterable { case culvert, own }

  @Option(help: "The port to listen on at 127.0.0.1; 0 picks a free one.")
  var port: UInt16 = 8080

  @Option(help: "Where sockets wait: \(Pool.allCases.map(\.rawValue).joined(separator: " or ")).")
  var pool = Pool.culvert

  @Flag(help: "Print no errors.")
  var quiet = false

  func run() async throws {
    let (port, pool, quiet) = (port, pool, quiet)
    try await withRuntime(workers: 1) { runtime in
      let server = HTTPServer(
        config: HTTPServer.Configuration(
          address: try .inet(ip4: "127.0.0.1", port: port),
          pool: pool == .culvert ? CulvertSocketPool(on: runtime) : HTTPServer.defaultPool(),
          logger: quiet ? DisabledLogger.disabled : ErrorLog()))
      await Routes.add(to: server)
      try await Self.serve(server, until: Signals.listen(to: .interrupt, .terminate))
    }
  }

  private static func serve(_ server: HTTPServer, until signals: Signals) async throws {
    async let served: Void = server.run()
    try await server.waitUntilListening()
    if case .ip4(let host, let port) = await server.listeningAddress {
      try FileHandle.standardOutput.write(contentsOf: Data("listening on \(host):\(port)\n".utf8))
    }
    for await _ in signals { break }
    await server.stop(timeout: 2)
    do {
      try await served
    } catch SocketError.disconnected {
      // What its run throws when it was stopped.
    } catch is CancellationError {
    }
  }
}
