// SPDX-License-Identifier: Apache-2.0
// Certificates and keys from PEM, of a file or in memory.

import CCulvert
import CCulvertTLS
import COpenSSL
import Culvert

/// Where PEM comes from, and what it is called in an error.
@safe final class PemSource {
  private let bio: OpaquePointer
  let name: String

  init(file path: String) throws(IoError) {
    ERR_clear_error()
    guard let bio = unsafe BIO_new_file(path, "r") else { throw Self.unreadable(path) }
    unsafe self.bio = bio
    name = path
  }

  /// Bytes that are copied.
  init(_ bytes: [UInt8], name: String) throws(IoError) {
    guard let bio = unsafe BIO_new(BIO_s_mem()) else {
      throw IoError(.outOfMemory, during: "read \(name)")
    }
    _ = unsafe BIO_write(bio, bytes, Int32(clamping: bytes.count))
    unsafe self.bio = bio
    self.name = name
  }

  deinit { unsafe BIO_free(bio) }

  private static func unreadable(_ path: String) -> IoError {
    let error = ERR_get_error()
    ERR_clear_error()
    if culvert_tls_library(error) == ERR_LIB_SYS {
      return IoError(errno: Int32(culvert_tls_reason(error)), during: "read \(path)")
    }
    return IoError(.notFound, during: "read \(path)")
  }

  /// All certificates, at least one.
  func certificates() throws(IoError) -> CertificateList {
    let list = CertificateList()
    ERR_clear_error()
    defer { ERR_clear_error() }
    while let certificate = unsafe PEM_read_bio_X509(bio, nil, nil, nil) {
      unsafe list.certificates.append(certificate)
    }
    let error = ERR_peek_last_error()
    let isEnd =
      culvert_tls_library(error) == ERR_LIB_PEM && culvert_tls_reason(error) == PEM_R_NO_START_LINE
    if !isEnd {
      let reason = unsafe TlsFailure.take().detail
      throw IoError(
        .malformed, "certificate \(unsafe list.certificates.count + 1) is broken (\(reason))",
        during: "read certificates from \(name)")
    }
    if unsafe list.certificates.isEmpty {
      throw IoError(.malformed, "there is no certificate in PEM", during: "read certificates from \(name)")
    }
    return list
  }

  /// The first private key.
  func key(password: String?) throws(IoError) -> PrivateKey {
    var secret = unsafe culvert_tls_password()
    ERR_clear_error()
    defer { ERR_clear_error() }
    let read = { (bytes: UnsafePointer<CChar>?, count: Int) -> OpaquePointer? in
      unsafe secret.bytes = bytes
      unsafe secret.count = Int32(clamping: count)
      return unsafe PEM_read_bio_PrivateKey(self.bio, nil, culvert_tls_give_password, &secret)
    }
    let key: OpaquePointer? =
      if let password {
        unsafe password.withCString { unsafe read($0, password.utf8.count) }
      } else {
        unsafe read(nil, 0)
      }
    if let key = unsafe key { return unsafe PrivateKey(key) }
    let detail: String
    if unsafe secret.was_asked {
      detail = password == nil ? "it is encrypted, and there is no password" : "the password is wrong"
    } else {
      detail = "there is no private key in PEM, or it is broken"
    }
    throw IoError(.malformed, detail, during: "read the private key from \(name)")
  }
}

/// Certificates, in order.
@safe final class CertificateList: @unchecked Sendable {
  /// Not changed once they are read.
  fileprivate(set) var certificates: [OpaquePointer] = unsafe []

  deinit {
    unsafe each { certificate, _ in unsafe X509_free(certificate) }
  }

  /// Calls `body` for each, and says which is the first.
  func each<E: Error>(_ body: (_ certificate: OpaquePointer, _ isFirst: Bool) throws(E) -> Void) throws(E) {
    for index in unsafe certificates.indices { try unsafe body(certificates[index], index == 0) }
  }
}

/// A private key.
@safe final class PrivateKey: @unchecked Sendable {
  let key: OpaquePointer

  fileprivate init(_ key: OpaquePointer) { unsafe self.key = key }

  deinit { unsafe EVP_PKEY_free(key) }
}
