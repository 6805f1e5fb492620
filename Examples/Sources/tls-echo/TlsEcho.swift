// SPDX-License-Identifier: Apache-2.0
// Sends back what it gets, on TCP with TLS. Run it with `swift run tls-echo cert.pem key.pem`, and then
// `openssl s_client -connect 127.0.0.1:7443`. A new certificate needs no restart: SIGHUP reads the files anew.

import ArgumentParser
import Culvert
import CulvertTLS
import Foundation

@main
struct TlsEcho: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tls-echo", abstract: "An echo server over TLS, on Culvert. Ctrl-C and SIGTERM end it.")

  @Argument(help: "Our certificate, and those that issued it, in PEM.")
  var certificate: String

  @Argument(help: "Its key, in PEM.")
  var key: String

  @Option(help: "The port to listen on at 127.0.0.1; 0 picks a free one.")
  var port: UInt16 = 7443

  func run() throws {
    let (context, port) = (try TlsContext(server: configuration()), port)
    try Runtime.blockOn(workers: 1) { _ in
      let signals = try await Signals.listen(to: .interrupt, .terminate, .hangUp)
      let listener = try await TlsListener.bind("127.0.0.1:\(port)", context: context)
      let line = "listening on \(try listener.localAddress)\n"
      try FileHandle.standardOutput.write(contentsOf: Data(line.utf8))
      try await withThrowingTaskGroup(of: Void.self) { tasks in
        tasks.addTask {
          try await listener.serve { stream in
            try await copy(from: stream, to: stream, bufferSize: 16_384)
          }
        }
        tasks.addTask {
          for await signal in signals {
            guard signal == .hangUp else { return }
            try context.reload(configuration())
          }
        }
        try await tasks.next()
        tasks.cancelAll()
      }
    }
  }

  private func configuration() throws -> TlsConfiguration {
    var configuration = TlsConfiguration()
    configuration.identity = try TlsIdentity(certificateFile: certificate, keyFile: key)
    return configuration
  }
}
