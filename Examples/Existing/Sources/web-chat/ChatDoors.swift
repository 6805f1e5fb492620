// SPDX-License-Identifier: Apache-2.0
// One chat, two doors: a listener for lines, and FlyingFox for the page and its WebSocket.

import ChatCluster
import ChatCore
import ChatServing
import Culvert
import FlyingFox
import FlyingFoxCulvert
import FlyingSocks
import Foundation

/// A chat for browsers and terminals.
struct ChatDoors: Sendable {
  /// How many seconds browsers have to hear the end.
  private static let patience = 0.5
  /// How long a browser may read nothing while something waits for it.
  private static let writeLimit = Duration.seconds(20)

  private let runtime: Runtime
  private let hub: ChatHub
  private let cluster: ChatCluster?
  private let terminals: Culvert.Server
  private let browsers: HTTPServer
  private let addresses: (terminals: Culvert.SocketAddress, host: String)

  /// Listens for terminals; browsers are let in by `run`.
  init(_ options: WebChat, in runtime: Runtime) async throws {
    let cluster = options.cluster.flatMap(ClusterAddress.init).flatMap { ChatCluster($0, say: Self.say) }
    let hub = ChatHub(on: runtime.workers[0], maximumClients: options.maxClients, publish: cluster?.publish)
    let address = try Culvert.SocketAddress(host: options.host, port: Int(options.port))
    let listener = try await TcpListener.bind(address)
    let browsers = HTTPServer(
      config: HTTPServer.Configuration(
        address: try Self.address(options.host, options.httpPort),
        pool: CulvertSocketPool(on: runtime, writeLimit: Self.writeLimit), logger: ErrorLog()))
    await browsers.appendRoute("GET /") { _ in Page.response }
    let door = WebSocketHTTPHandler(handler: BrowserDoor(hub: hub))
    await browsers.appendRoute("GET /chat") { request in
      guard BrowserDoor.isOurs(request) else { return HTTPResponse(statusCode: .forbidden) }
      return try await door.handleRequest(request)
    }
    self.runtime = runtime
    self.hub = hub
    self.cluster = cluster
    self.browsers = browsers
    terminals = listener.server { stream in await ChatSession.run(on: stream, in: hub) }
    addresses = (try listener.localAddress, options.host)
  }

  /// Serves until a signal: then everybody is told, and both doors are closed.
  func run(until signals: Signals) async throws {
    try await withThrowingTaskGroup(of: Void.self) { parts in
      parts.addTask { try await letBrowsersIn() }
      parts.addTask {
        try await browsers.waitUntilListening()
        await sayWhere()
        cluster?.start(for: hub, on: runtime.workers[0], in: runtime)
        try await runtime.run(terminals, until: signals)
      }
      parts.addTask {
        try await terminals.draining()
        await hub.handle(.goingDown)
        await cluster?.stop()
        await browsers.stop(timeout: Self.patience)
      }
      // Not waitForAll, which goes on waiting when one has failed.
      while try await parts.next() != nil {}
    }
  }

  private func letBrowsersIn() async throws {
    do {
      try await browsers.run()
    } catch {
      // To be stopped is an error to FlyingFox.
      if !terminals.isDraining { throw error }
    }
  }

  private func sayWhere() async {
    let port =
      switch await browsers.listeningAddress {
      case .ip4(_, let port), .ip6(_, let port): port
      default: UInt16(0)
      }
    let host = addresses.host.contains(":") ? "[\(addresses.host)]" : addresses.host
    Self.say("terminals: nc \(addresses.terminals)\nbrowsers: http://\(host):\(port)/")
  }

  private static func say(_ line: String) {
    try? FileHandle.standardOutput.write(contentsOf: Data("\(line)\n".utf8))
  }

  private static func address(_ host: String, _ port: UInt16) throws -> any FlyingSocks.SocketAddress {
    host.contains(":") ? try .inet6(ip6: host, port: port) : try .inet(ip4: host, port: port)
  }
}
