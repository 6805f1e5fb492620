// SPDX-License-Identifier: Apache-2.0
// Who we are, and whom we trust, as certificates.

import COpenSSL
public import Culvert

/// A certificate, those that lead from it to a root, and its private key.
///
/// PEM, as certbot, openssl and most others write it. Neither the key nor its password is in any error.
public struct TlsIdentity: Sendable {
  /// Ours first.
  let chain: CertificateList
  let key: PrivateKey

  /// Reads files: our certificate followed by those that issued it, and the key, for which `password` is if it is encrypted.
  ///
  /// Both may be one file. Blocks for the time that the file system takes. Throws `.notFound`, `.permissionDenied`; `.malformed`
  /// if there is no certificate or key, or the password is wrong or missing; `.invalidArgument` if the key is that of another certificate.
  public init(certificateFile: String, keyFile: String, password: String? = nil) throws(IoError) {
    try self.init(PemSource(file: certificateFile), PemSource(file: keyFile), password)
  }

  /// The same from memory.
  public init(certificatePem: String, keyPem: String, password: String? = nil) throws(IoError) {
    try self.init(
      PemSource(Array(certificatePem.utf8), name: "certificates in memory"),
      PemSource(Array(keyPem.utf8), name: "a key in memory"), password)
  }

  private init(
    _ certificates: PemSource, _ keys: PemSource, _ password: String?
  ) throws(IoError) {
    chain = try certificates.certificates()
    key = try keys.key(password: password)
    ERR_clear_error()
    defer { ERR_clear_error() }
    guard unsafe X509_check_private_key(chain.certificates[0], key.key) == 1 else {
      throw IoError(
        .invalidArgument, "the key is not that of the first certificate",
        during: "use the key of \(keys.name) with \(certificates.name)")
    }
  }
}

/// Authorities that somebody trusts.
public struct TlsRoots: Sendable {
  let list: CertificateList

  /// Reads one or more certificates in PEM. Throws `.notFound`, `.permissionDenied`, `.malformed`.
  public init(file: String) throws(IoError) {
    list = try PemSource(file: file).certificates()
  }

  /// The same from memory.
  public init(pem: String) throws(IoError) {
    list = try PemSource(Array(pem.utf8), name: "certificates in memory").certificates()
  }
}
