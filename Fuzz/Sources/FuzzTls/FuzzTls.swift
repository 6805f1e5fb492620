// SPDX-License-Identifier: Apache-2.0
// TLS with somebody in between who does whatever he likes with the records: nothing that was changed may arrive, and no end
// that was cut may look like one.

import Culvert
import CulvertTLS
import Foundation
import FuzzSupport

/// The program, under the name that the package manager gives it.
@_cdecl("FuzzTls_main")
public func main(
  _ argumentCount: Int32, _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?
) -> Int32 {
  guard let file = ProcessInfo.processInfo.environment["FUZZ_IDENTITY"], let contexts = try? Contexts(file)
  else {
    fatalError("FUZZ_IDENTITY must name a file with a certificate for localhost and its key, in PEM")
  }
  return unsafe fuzz(argumentCount, arguments) { input in
    let input = Array(input)
    runToEnd {
      switch input.first.map({ $0 % 4 }) {
      case 0: await Stranger(contexts, bytes: input.dropFirst()).talk()
      case .some(let kind):
        await Tampering(contexts, Script(input.dropFirst(), fromTheStart: kind == 1)).run()
      case nil: break
      }
    }
  }
}

/// Both sides', with one certificate that is its own root.
struct Contexts: Sendable {
  let client: TlsContext
  let server: TlsContext

  init(_ file: String) throws {
    var (client, server) = (TlsConfiguration(), TlsConfiguration())
    client.trust = .roots(try TlsRoots(file: file))
    server.identity = try TlsIdentity(certificateFile: file, keyFile: file)
    server.applicationProtocols = ["h2", "http/1.1"]
    client.applicationProtocols = ["http/1.1"]
    self.client = try TlsContext(client: client)
    self.server = try TlsContext(server: server)
  }
}

/// Somebody who does not know TLS, or knows just enough of it.
struct Stranger: Sendable {
  private let contexts: Contexts
  private let bytes: [UInt8]

  init(_ contexts: Contexts, bytes: ArraySlice<UInt8>) {
    self.contexts = contexts
    self.bytes = Array(bytes)
  }

  /// Says his bytes to a server, and to a client: neither may be through with its handshake.
  func talk() async {
    for isServer in [true, false] {
      let (near, far) = DuplexStream.pair()
      try? await far.write(bytes)
      try? far.shutdown()
      do {
        _ =
          isServer
          ? try await TlsStream.server(over: near, context: contexts.server)
          : try await TlsStream.client(over: near, host: "localhost", context: contexts.client)
        check(false, "\(bytes) was a handshake")
      } catch {
        check((error as? IoError)?.code != .outOfMemory, "\(error)")
      }
    }
  }
}
