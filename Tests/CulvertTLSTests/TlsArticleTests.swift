// SPDX-License-Identifier: Apache-2.0
// The code of SecuringConnections.md.
import Culvert
import CulvertTLS
import CulvertTesting
import Testing

@Suite(.timeLimit(watchdog)) struct TlsArticleTests {
  @Test func `a server with a certificate, its client, a new certificate, and clients with certificates`()
    async throws
  {
    let authority = try TestAuthority.shared.get()
    let (certificateFile, keyFile) = (authority.localhost.certificateFile, authority.localhost.keyFile)
    let renewed = try authority.issue("renewed-article", for: "DNS:localhost")
    let (newCertificateFile, newKeyFile) = (renewed.certificateFile, renewed.keyFile)
    let rootFile = authority.rootFile
    try await withRuntime(workers: 1) { runtime in
      var configuration = TlsConfiguration()
      configuration.identity = try TlsIdentity(certificateFile: certificateFile, keyFile: keyFile)
      configuration.applicationProtocols = ["echo/1"]
      let context = try TlsContext(server: configuration)
      let listener = try await TlsListener.bind("127.0.0.1:0", context: context)
      let port = try #require(try listener.localAddress.port)
      let serving = runtime.spawn {
        try await listener.serve { stream in
          while let chunk = try await stream.read(upTo: 4096) { try await stream.write(chunk) }
        }
      }

      var wanted = TlsConfiguration()
      wanted.trust = .roots(try TlsRoots(file: rootFile))
      wanted.applicationProtocols = ["echo/1"]
      let trusting = try TlsContext(client: wanted)
      let stream = try await TlsStream.connect(host: "localhost", port: port, context: trusting)
      try await stream.write("hello")
      #expect(stream.applicationProtocol == "echo/1")

      var received: [UInt8] = []
      try await stream.shutdown()
      while let rest = try await stream.read(upTo: 4096) { received += rest }
      stream.close()
      #expect(received == Array("hello".utf8))

      configuration.identity = try TlsIdentity(certificateFile: newCertificateFile, keyFile: newKeyFile)
      try context.reload(configuration)
      let later = try await TlsStream.connect(host: "localhost", port: port, context: trusting)
      #expect(later.peerCertificate?.description.hasPrefix("CN=renewed-article") == true)
      later.close()

      configuration.clientCertificates = .required(try TlsRoots(file: rootFile))
      try context.reload(configuration)
      await #expect(throws: IoError.self) {
        let stream = try await TlsStream.connect(host: "localhost", port: port, context: trusting)
        _ = try await stream.read(upTo: 1)
      }
      listener.close()
      try await serving.value
    }
  }
}
