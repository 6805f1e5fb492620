// SPDX-License-Identifier: Apache-2.0
// OpenSSL's context, made of a configuration. Not changed once it is made, so any thread may use it.

import CCulvert
import CCulvertTLS
import COpenSSL
import Culvert

/// Which side of a connection we are.
enum TlsRole {
  case client(host: String, TlsSession?)
  case server
}

@safe final class SslContext: @unchecked Sendable {
  let configuration: TlsConfiguration
  let isOfServer: Bool
  let context: OpaquePointer
  private let choice: UnsafeMutablePointer<culvert_tls_choice>?

  init(_ configuration: TlsConfiguration, isOfServer: Bool) throws(IoError) {
    self.configuration = configuration
    self.isOfServer = isOfServer
    let operation = "set up TLS for a \(isOfServer ? "server" : "client")"
    let protocols = try Self.wireForm(configuration.applicationProtocols, operation)
    if configuration.minimumVersion > configuration.maximumVersion {
      throw IoError(.invalidArgument, "the lowest version is above the highest", during: operation)
    }
    if isOfServer, configuration.identity == nil, configuration.hostIdentities.isEmpty {
      throw IoError(.invalidArgument, "there is no identity", during: operation)
    }
    do throws(TlsFailure) {
      unsafe context = try Self.make(configuration, configuration.identity, isOfServer: isOfServer)
    } catch {
      throw error.error(during: operation)
    }
    unsafe choice =
      isOfServer ? culvert_tls_choice_new(configuration.hostIdentities.count, protocols.count) : nil
    if isOfServer {
      try choose(among: protocols, operation)
    } else {
      _ = unsafe SSL_CTX_set_alpn_protos(context, protocols, UInt32(protocols.count))
    }
  }

  deinit {
    unsafe SSL_CTX_free(context)
    unsafe culvert_tls_choice_free(choice)
  }

  // MARK: one connection

  /// Makes a connection ready for its handshake.
  func setUp(_ ssl: OpaquePointer?, as role: TlsRole) throws(TlsFailure) {
    switch role {
    case .server:
      unsafe SSL_set_accept_state(ssl)
      let mode =
        switch configuration.clientCertificates {
        case .notAsked: SSL_VERIFY_NONE
        case .optional: SSL_VERIFY_PEER
        case .required: SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT
        }
      unsafe culvert_tls_set_verification(ssl, mode)
    case .client(let host, let session):
      unsafe SSL_set_connect_state(ssl)
      try unsafe setUpClient(ssl, host: host)
      if let session, session.isOf(self, host: host) { _ = unsafe SSL_set_session(ssl, session.session) }
    }
  }

  private func setUpClient(_ ssl: OpaquePointer?, host: String) throws(TlsFailure) {
    let name = HostName(host)
    // To C it would end at a zero.
    if name.text.isEmpty || name.text.utf8.contains(0) { throw .noHost }
    if !name.isAddress, unsafe culvert_tls_set_server_name(ssl, name.text) != 1 { throw .noHost }
    if case .dangerouslyUnverified = configuration.trust {
      return unsafe culvert_tls_set_verification(ssl, SSL_VERIFY_NONE)
    }
    unsafe culvert_tls_set_verification(ssl, SSL_VERIFY_PEER)
    let parameters = unsafe SSL_get0_param(ssl)
    unsafe X509_VERIFY_PARAM_set_hostflags(parameters, UInt32(X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS))
    let isSet =
      name.isAddress
      ? unsafe X509_VERIFY_PARAM_set1_ip_asc(parameters, name.text)
      : unsafe X509_VERIFY_PARAM_set1_host(parameters, name.text, 0)
    if isSet != 1 { throw .noHost }
  }

  // MARK: making

  private static func make(
    _ configuration: TlsConfiguration, _ identity: TlsIdentity?, isOfServer: Bool
  ) throws(TlsFailure) -> OpaquePointer {
    ERR_clear_error()
    guard
      let context = unsafe culvert_tls_context(
        configuration.minimumVersion.number, configuration.maximumVersion.number)
    else { throw unsafe .take() }
    do throws(TlsFailure) {
      if let identity { try unsafe show(identity, by: context) }
      if isOfServer {
        if !configuration.resumesSessions { unsafe SSL_CTX_set_options(context, UInt64(1) << 14) }
        try unsafe trustClients(configuration.clientCertificates, context)
      } else {
        try unsafe trust(configuration.trust, context)
      }
      return unsafe context
    } catch {
      unsafe SSL_CTX_free(context)
      throw error
    }
  }

  private static func show(_ identity: TlsIdentity, by context: OpaquePointer) throws(TlsFailure) {
    try unsafe identity.chain.each { (certificate, isFirst) throws(TlsFailure) in
      let isTaken =
        isFirst
        ? unsafe SSL_CTX_use_certificate(context, certificate)
        : unsafe culvert_tls_add_chain_certificate(context, certificate)
      // Such as a key that is too small for the system's policy.
      if isTaken != 1 { throw unsafe .take() }
    }
    if unsafe SSL_CTX_use_PrivateKey(context, identity.key.key) != 1 { throw unsafe .take() }
  }

  private static func trust(_ trust: TlsTrust, _ context: OpaquePointer) throws(TlsFailure) {
    switch trust {
    case .dangerouslyUnverified: break
    case .roots(let roots): try unsafe add(roots, to: context)
    case .systemAnd(let roots):
      try unsafe add(roots, to: context)
      fallthrough
    case .system:
      if unsafe SSL_CTX_set_default_verify_paths(context) != 1 { throw unsafe .take() }
    }
  }

  private static func trustClients(
    _ clients: TlsClientCertificates, _ context: OpaquePointer
  ) throws(TlsFailure) {
    switch clients {
    case .notAsked: break
    case .optional(let roots), .required(let roots):
      try unsafe add(roots, to: context)
      // Tells clients which of their certificates to show.
      try unsafe roots.list.each { (root, _) throws(TlsFailure) in
        if unsafe SSL_CTX_add_client_CA(context, root) != 1 { throw unsafe .take() }
      }
    }
  }

  private static func add(_ roots: TlsRoots, to context: OpaquePointer) throws(TlsFailure) {
    let store = unsafe SSL_CTX_get_cert_store(context)
    try unsafe roots.list.each { (root, _) throws(TlsFailure) in
      if unsafe X509_STORE_add_cert(store, root) != 1 { throw unsafe .take() }
    }
  }

  /// Hosts and protocols, for the callbacks.
  private func choose(among protocols: [UInt8], _ operation: String) throws(IoError) {
    guard let choice = unsafe choice else { throw IoError(.outOfMemory, during: operation) }
    unsafe choice.pointee.has_default = configuration.identity != nil
    unsafe choice.pointee.protocol_count = UInt32(protocols.count)
    for (index, byte) in protocols.enumerated() { unsafe choice.pointee.protocols[index] = byte }
    for (index, (host, identity)) in configuration.hostIdentities.enumerated() {
      do throws(TlsFailure) {
        unsafe choice.pointee.contexts[index] = try Self.make(configuration, identity, isOfServer: true)
      } catch {
        throw error.error(during: "\(operation), host \(host)")
      }
      unsafe choice.pointee.hosts[index] = strdup(HostName(host).text)
    }
    unsafe culvert_tls_set_choice(context, choice)
  }

  private static func wireForm(_ protocols: [String], _ operation: String) throws(IoError) -> [UInt8] {
    var bytes: [UInt8] = []
    for name in protocols {
      let count = name.utf8.count
      if !(1...255).contains(count) {
        throw IoError(.invalidArgument, "a protocol's name has 1 to 255 bytes", during: operation)
      }
      bytes.append(UInt8(count))
      bytes += name.utf8
    }
    return bytes
  }
}

extension TlsVersion {
  /// OpenSSL's number for it.
  var number: Int32 { self == .v12 ? TLS1_2_VERSION : TLS1_3_VERSION }
}

extension TlsFailure {
  fileprivate static let noHost = TlsFailure(code: .malformed, detail: "no host has such a name")
}

/// A host as TLS has it: without brackets, scope, and the dot at the end.
struct HostName {
  let text: String
  let isAddress: Bool

  init(_ host: String) {
    var text = host
    if text.hasPrefix("["), text.hasSuffix("]") { text = String(text.dropFirst().dropLast()) }
    isAddress = (try? SocketAddress(host: text, port: 0)) != nil
    if isAddress, let scope = text.firstIndex(of: "%") { text = String(text[..<scope]) }
    if !isAddress, text.hasSuffix(".") { text.removeLast() }
    self.text = text
  }
}
