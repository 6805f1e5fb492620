// SPDX-License-Identifier: Apache-2.0
// Certificates and keys, from files and from memory, whole and broken.
import CulvertTLS
import Foundation
import Testing

@testable import Culvert

@Suite(.timeLimit(watchdog)) struct TlsPemTests {
  private let authority: TestAuthority
  private let certificate: String
  private let key: String
  init() throws {
    authority = try TestAuthority.shared.get()
    certificate = try String(contentsOfFile: authority.localhost.certificateFile, encoding: .utf8)
    key = try String(contentsOfFile: authority.localhost.keyFile, encoding: .utf8)
  }

  private func pemFailure(certificate: String? = nil, key: String? = nil, password: String? = nil)
    async throws
    -> IoError
  {
    try await failure {
      try TlsIdentity(
        certificatePem: certificate ?? self.certificate, keyPem: key ?? self.key, password: password)
    }
  }

  @Test func `PEM in memory is as good as in files, and one file may have both`() async throws {
    _ = try TlsIdentity(certificatePem: certificate, keyPem: key)
    _ = try TlsIdentity(certificatePem: key + certificate, keyPem: certificate + key)
    let root = try String(contentsOfFile: authority.rootFile, encoding: .utf8)
    let contexts = try Contexts(server: {
      $0.identity = try TlsIdentity(certificatePem: certificate + root, keyPem: key)
    })
    try await onOneWorker { _ in _ = try await contexts.tcpPair() }
  }

  @Test func `an encrypted key needs its password, which no error tells`() async throws {
    let secret = "a very secret password"
    let file = "\(authority.folder)/encrypted.key"
    try Tool.runToEnd(
      [
        "openssl", "pkcs8", "-topk8", "-in", authority.localhost.keyFile, "-out", file, "-passout",
        "pass:\(secret)",
      ])
    let leaf = authority.localhost.certificateFile
    _ = try TlsIdentity(certificateFile: leaf, keyFile: file, password: secret)
    let wrong = try await failure {
      try TlsIdentity(certificateFile: leaf, keyFile: file, password: "another password")
    }
    #expect(wrong.description == "read the private key from \(file): malformed: the password is wrong")
    for password in [nil, String(repeating: "long", count: 1000)] {
      let error = try await failure {
        try TlsIdentity(certificateFile: leaf, keyFile: file, password: password)
      }
      #expect(error.code == .malformed && !error.description.contains("long"))
    }
    let missing = try await failure { try TlsIdentity(certificateFile: leaf, keyFile: file) }
    #expect(missing.detail == "it is encrypted, and there is no password")
  }

  @Test func `what is no certificate or no key is refused`() async throws {
    let lines = certificate.split(separator: "\n")
    let broken = (lines[..<3] + lines[4...]).joined(separator: "\n")
    #expect(try await pemFailure(certificate: broken).detail.hasPrefix("certificate 1 is broken ("))
    #expect(
      try await pemFailure(certificate: certificate + broken).detail.hasPrefix("certificate 2 is broken ("))
    #expect(try await pemFailure(certificate: "").detail == "there is no certificate in PEM")
    #expect(try await pemFailure(key: "").detail == "there is no private key in PEM, or it is broken")
    #expect(try await failure { try TlsRoots(pem: "no roots") }.code == .malformed)
  }

  @Test func `the key of another certificate is refused`() async throws {
    let other = try authority.issue("another", for: "DNS:another.example")
    let error = try await failure {
      try TlsIdentity(certificateFile: authority.localhost.certificateFile, keyFile: other.keyFile)
    }
    #expect(error.code == .invalidArgument && error.detail == "the key is not that of the first certificate")
    let text = try String(contentsOfFile: other.keyFile, encoding: .utf8)
    #expect(!text.split(separator: "\n").contains { error.description.contains($0) })
  }

  @Test func `a file that is not there, or may not be read, is named`() async throws {
    let error = try await failure { try TlsRoots(file: "/nowhere/root.pem") }
    #expect(error.code == .notFound && error.description == "read /nowhere/root.pem: not found")
    #expect(try await failure { try TlsRoots(file: authority.folder) }.operation.contains(authority.folder))
  }

  @Test func `a server needs an identity, and protocols need names`() async throws {
    var configuration = TlsConfiguration()
    let error = try await failure { try TlsContext(server: configuration) }
    #expect(error.description == "set up TLS for a server: invalid argument: there is no identity")
    for name in ["", String(repeating: "h", count: 256)] {
      configuration.applicationProtocols = [name]
      #expect(try await failure { try TlsContext(client: configuration) }.code == .invalidArgument)
    }
    configuration = TlsConfiguration()
    (configuration.minimumVersion, configuration.maximumVersion) = (.v13, .v12)
    #expect(try await failure { try TlsContext(client: configuration) }.code == .invalidArgument)
  }
}
