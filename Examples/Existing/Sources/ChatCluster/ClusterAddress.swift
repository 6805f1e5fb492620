// SPDX-License-Identifier: Apache-2.0
// Where the Redis of a cluster is, as people write it.

import Foundation

/// `redis://HOST[:PORT]`, with `:PASSWORD@` in front of the host if there is one.
public struct ClusterAddress: Sendable, CustomStringConvertible {
  let host: String
  let port: UInt16
  let password: String?

  /// `nil` for text that is no such address.
  public init?(_ text: String) {
    guard let parts = URLComponents(string: text), parts.scheme == "redis", let host = parts.host,
      !host.isEmpty,
      ["", "/"].contains(parts.path), parts.query == nil, (parts.user ?? "").isEmpty,
      let port = UInt16(exactly: parts.port ?? 6379), port > 0
    else { return nil }
    self.host = host.trimmingCharacters(in: CharacterSet(charactersIn: "[]"))
    self.port = port
    password = parts.password
  }

  /// Without the password.
  public var description: String { "redis://\(host):\(port)" }
}
