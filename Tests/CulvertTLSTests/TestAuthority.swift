// SPDX-License-Identifier: Apache-2.0
// Certificates, made by the openssl command for each run of the tests.
import CulvertTLS
import Culvert
import Foundation

/// A root of our own, and what it issues.
struct TestAuthority: Sendable {
  static let shared = Result { try TestAuthority() }

  let folder: String
  let rootFile: String
  let roots: TlsRoots
  let localhost: Issued

  /// A certificate and its key.
  struct Issued: Sendable {
    let certificateFile: String
    let keyFile: String
    let identity: TlsIdentity
  }

  init() throws {
    folder = NSTemporaryDirectory() + "culvert-tls-\(getpid())-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    rootFile = "\(folder)/root.pem"
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    try Tool.runToEnd(
      ["openssl", "req", "-x509"] + key + [
        "-keyout", "\(folder)/root.key", "-out", rootFile, "-days", "30", "-subj", "/CN=Culvert test root",
      ])
    roots = try TlsRoots(file: rootFile)
    localhost = try Self.issue(
      "localhost", for: "DNS:localhost,IP:127.0.0.1,IP:::1", days: 20, in: folder, curve: "P-256")
  }

  /// A certificate that the root has signed, for the hosts `names`; with negative `days` one that has expired.
  func issue(
    _ name: String, for names: String, days: Int = 20, extensions: String = "", curve: String = "P-256"
  ) throws -> Issued {
    try Self.issue(name, for: names, days: days, in: folder, curve: curve, extensions: extensions)
  }

  private static func issue(
    _ name: String, for names: String, days: Int, in folder: String, curve: String, extensions: String = ""
  ) throws -> Issued {
    let base = "\(folder)/\(name)"
    try Tool.runToEnd([
      "openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:\(curve)", "-nodes",
      "-keyout", "\(base).key", "-out", "\(base).csr", "-subj", "/CN=\(name)",
    ])
    let text = "basicConstraints=CA:FALSE\nsubjectAltName=\(names)\n\(extensions)\n"
    try text.write(toFile: "\(base).ext", atomically: true, encoding: .utf8)
    try Tool.runToEnd([
      "openssl", "x509", "-req", "-in", "\(base).csr", "-CA", "\(folder)/root.pem", "-CAkey",
      "\(folder)/root.key", "-set_serial", "\(UInt32.random(in: 1 ... .max))", "-days", "\(days)", "-extfile",
      "\(base).ext", "-out", "\(base).pem",
    ])
    return Issued(
      certificateFile: "\(base).pem", keyFile: "\(base).key",
      identity: try TlsIdentity(certificateFile: "\(base).pem", keyFile: "\(base).key"))
  }

  /// A certificate that nobody but its owner has signed.
  func selfSigned(_ name: String, for names: String) throws -> Issued {
    let base = "\(folder)/\(name)"
    try Tool.runToEnd([
      "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
      "\(base).key", "-out", "\(base).pem", "-days", "30", "-subj", "/CN=\(name)", "-addext",
      "subjectAltName=\(names)",
    ])
    return Issued(
      certificateFile: "\(base).pem", keyFile: "\(base).key",
      identity: try TlsIdentity(certificateFile: "\(base).pem", keyFile: "\(base).key"))
  }
}
