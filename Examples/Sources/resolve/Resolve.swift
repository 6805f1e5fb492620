// SPDX-License-Identifier: Apache-2.0
// Prints the addresses of a host, in the order in which a connect would try them; with a port it connects, too. Shows names,
// and Happy Eyeballs. Run it with `swift run resolve localhost`, or `swift run resolve example.org 80`.

import ArgumentParser
import Culvert

@main
struct Resolve: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "resolve", abstract: "Prints the addresses of a host, on Culvert.")

  @Argument(help: "A name or a numeric address.")
  var host: String

  @Argument(help: "A port to connect to, at the first address that answers.")
  var port: UInt16?

  @Flag(help: "Which addresses are wanted.")
  var family = Family.any

  enum Family: String, EnumerableFlag {
    case any, v4, v6
  }

  func run() throws {
    let (host, port) = (host, port)
    let preference: AddressPreference =
      switch family {
      case .any: .any
      case .v4: .v4Only
      case .v6: .v6Only
      }
    try Runtime.blockOn { _ in
      for address in try await resolve(host, port: port ?? 0, prefer: preference) {
        print(port == nil ? address.host : "\(address)")
      }
      guard let port else { return }
      let stream = try await TcpStream.connect(host: host, port: port, prefer: preference)
      print("connected to \(stream.peerAddress)")
    }
  }
}
