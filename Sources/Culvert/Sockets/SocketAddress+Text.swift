// SPDX-License-Identifier: Apache-2.0
// Addresses from text and to text. What is printed is parsed to the same address again.
// It works on UTF-8 bytes: as characters, a ":" with an accent on it is no ":".

import CCulvert

extension SocketAddress {
  /// Reads an address with its port, or a Unix socket's path.
  ///
  /// The forms are "127.0.0.1:80", "[::1]:80", "[fe80::1%eth0]:80" with an interface's name or number, and
  /// "unix:/path" or "unix:@name" for Linux's abstract names. The port is 0 to 65535 in plain digits: no sign, no space, no leading zero.
  /// Throws `.malformed` for any other text, with the text and what is wrong with it.
  public init(_ text: String) throws(IoError) {
    if text.utf8.starts(with: unixPrefix.utf8) {
      let name = String(Substring(text.utf8.dropFirst(unixPrefix.utf8.count)))
      let isAbstract = name.utf8.first == abstractMark
      self =
        isAbstract ? try .unix(abstract: String(Substring(name.utf8.dropFirst()))) : try .unix(path: name)
      return
    }
    try rejectEmptyAndNul(text)
    let parts = try split(text)
    let port = try parsePort(parts.port, of: text)
    if parts.isBracketed {
      storage = .v6(try Ipv6(parts.host, of: text), port: port)
    } else if let bits = ipv4Bits(parts.host) {
      storage = .v4(bits, port: port)
    } else {
      throw malformed(text, "not a numeric address")
    }
  }

  /// Makes an address of a numeric host, such as "127.0.0.1", "::1" or "fe80::1%eth0", and a port.
  ///
  /// Throws `.invalidArgument` for a port outside 0...65535 and `.malformed` for a host that is not numeric
  /// or is in brackets.
  public init(host: String, port: Int) throws(IoError) {
    guard let number = UInt16(exactly: port) else {
      let operation = "make an address of \(host.debugDescription) and port \(port) (port out of range)"
      throw IoError(.invalidArgument, during: operation)
    }
    try rejectEmptyAndNul(host)
    if let bits = ipv4Bits(host[...]) {
      storage = .v4(bits, port: number)
    } else {
      storage = .v6(try Ipv6(host[...], of: host), port: number)
    }
  }

  /// The address of a Unix socket that has a path in the file system.
  ///
  /// A path has at most 107 bytes on Linux and 103 on Darwin; a relative path is relative to the process's
  /// directory when it is used. Throws `.malformed` for a path that is empty, too long, has a NUL in it, or begins
  /// with "@", which marks an abstract name in text: "./@…" is the same file.
  public static func unix(path: String) throws(IoError) -> SocketAddress {
    let text = unixPrefix + path
    guard !path.isEmpty else { throw malformed(text, "empty path") }
    try rejectEmptyAndNul(text)
    guard path.utf8.count < sockaddr_un.pathCapacity else { throw malformed(text, "path too long") }
    guard path.utf8.first != abstractMark else { throw malformed(text, "path begins with @") }
    return SocketAddress(.unix(Array(path.utf8)))
  }

  /// The address of a Unix socket that has a name outside the file system, which ends with the socket. Linux only.
  ///
  /// A name has 1 to 107 bytes, and any process in the same network namespace can use it, whatever its user. Throws
  /// `.malformed` for a name that is empty, too long or has a NUL in it, `.unsupported` where there are none such.
  public static func unix(abstract name: String) throws(IoError) -> SocketAddress {
    let text = "\(unixPrefix)@\(name)"
    guard Platform.hasAbstractNames else {
      throw IoError(.unsupported, during: "make the abstract address \(text.debugDescription)")
    }
    guard !name.isEmpty else { throw malformed(text, "empty name") }
    try rejectEmptyAndNul(text)
    guard name.utf8.count < sockaddr_un.pathCapacity else { throw malformed(text, "name too long") }
    return SocketAddress(.unix([0] + Array(name.utf8)))
  }
}

extension SocketAddress: CustomStringConvertible {
  /// The address without its port: "127.0.0.1", "::1", "fe80::1%eth0", a Unix socket's path or "@" and its abstract name.
  ///
  /// IPv6 is in the form of RFC 5952, with the scope's name where it has one on this machine and its number
  /// otherwise. An unnamed Unix socket's path is "".
  public var host: String {
    switch storage {
    case .v4(let bits, _): text(of: in_addr(s_addr: bits.bigEndian), family: AF_INET)
    case .v6(let address, _): text(of: in6_addr(address), family: AF_INET6) + scopeSuffix(address.scope)
    case .unix(let path): unixText(path)
    }
  }

  /// The text that `init(_:)` reads: "127.0.0.1:80", "[::1]:80", "unix:/path" or "unix:@name".
  ///
  /// An unnamed Unix socket is "unix:", which cannot be read. A path or name that is not UTF-8 is printed repaired, a
  /// NUL in an abstract name as "@", and a path that begins with "@" as the same file's path "./@…".
  public var description: String {
    switch storage {
    case .v4(_, let port): "\(host):\(port)"
    case .v6(_, let port): "[\(host)]:\(port)"
    case .unix: unixPrefix + host
    }
  }
}

private let unixPrefix = "unix:"
private let abstractMark = UInt8(ascii: "@")

private func unixText(_ path: [UInt8]) -> String {
  // As other programs print them: a NUL as "@".
  if path.first == 0 { return String(decoding: path.map { $0 == 0 ? abstractMark : $0 }, as: UTF8.self) }
  let text = String(decoding: path, as: UTF8.self)
  return path.first == abstractMark ? "./" + text : text
}

private func malformed(_ text: String, _ reason: String) -> IoError {
  IoError(.malformed, during: "parse address \(text.debugDescription) (\(reason))")
}

/// C ends its strings at a NUL, so one must not get that far.
private func rejectEmptyAndNul(_ text: String) throws(IoError) {
  if text.isEmpty { throw malformed(text, "empty") }
  if text.utf8.contains(0) { throw malformed(text, "embedded NUL") }
}

private struct Parts {
  let host: Substring
  let port: Substring
  let isBracketed: Bool
}

/// Takes host and port apart, and judges neither.
private func split(_ text: String) throws(IoError) -> Parts {
  let bytes = text.utf8
  let colon = UInt8(ascii: ":")
  guard bytes.first == UInt8(ascii: "[") else {
    guard let last = bytes.lastIndex(of: colon) else { throw malformed(text, "missing port") }
    // "::1:80" may be an address without a port as well, so it is taken for neither.
    if ipv6Bits(text[..<last]) != nil || ipv6Bits(text[...]) != nil {
      throw malformed(text, "missing brackets")
    }
    return Parts(host: text[..<last], port: text[bytes.index(after: last)...], isBracketed: false)
  }
  // The last one: an interface's name may have a bracket in it.
  guard let end = bytes.lastIndex(of: UInt8(ascii: "]")) else { throw malformed(text, "missing brackets") }
  let next = bytes.index(after: end)
  guard bytes[next...].first == colon else { throw malformed(text, "missing port") }
  let host = text[bytes.index(after: bytes.startIndex)..<end]
  return Parts(host: host, port: text[bytes.index(after: next)...], isBracketed: true)
}

private func parsePort(_ digits: Substring, of text: String) throws(IoError) -> UInt16 {
  guard !digits.isEmpty else { throw malformed(text, "missing port") }
  guard isPlainNumber(digits) else { throw malformed(text, "port is not a plain number") }
  guard let port = UInt16(digits) else { throw malformed(text, "port out of range") }
  return port
}

extension Host {
  /// Name and port of a text such as "example.org:80"; `nil` for every other text, that of an address too.
  static func nameAndPort(_ text: String) -> (name: String, port: UInt16)? {
    guard !text.utf8.starts(with: unixPrefix.utf8), let parts = try? split(text), !parts.isBracketed,
      let port = try? parsePort(parts.port, of: text),
      case .name(let name)? = try? Host(String(parts.host), port: port)
    else { return nil }
    return (name, port)
  }
}

/// One spelling for each number. `UInt16("+080")` is 80.
private func isPlainNumber(_ text: Substring) -> Bool {
  let isDigits = text.utf8.allSatisfy { UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 }
  return isDigits && (text.utf8.first != UInt8(ascii: "0") || text.utf8.count == 1)
}

extension SocketAddress.Ipv6 {
  /// - Parameter text: what the error quotes.
  fileprivate init(_ host: Substring, of text: String) throws(IoError) {
    guard let bits = ipv6Bits(host) else { throw malformed(text, "not a numeric address") }
    self = bits
    guard let percent = host.utf8.firstIndex(of: UInt8(ascii: "%")) else { return }
    guard let scope = scopeNumber(host[host.utf8.index(after: percent)...]) else {
      throw malformed(text, "unknown scope")
    }
    self.scope = scope
  }
}

private func ipv4Bits(_ text: Substring) -> UInt32? {
  var address = in_addr()
  guard unsafe inet_pton(AF_INET, String(text), &address) == 1 else { return nil }
  return UInt32(bigEndian: address.s_addr)
}

/// The address in front of "%", if there is one.
private func ipv6Bits(_ text: Substring) -> SocketAddress.Ipv6? {
  var address = in6_addr()
  let bare = text.utf8.prefix { $0 != UInt8(ascii: "%") }
  guard unsafe inet_pton(AF_INET6, String(Substring(bare)), &address) == 1 else { return nil }
  return SocketAddress.Ipv6(address)
}

/// A number is taken whether or not an interface has it: the address may come from another machine.
private func scopeNumber(_ text: Substring) -> UInt32? {
  if let number = UInt32(text), isPlainNumber(text) { return number }
  let index = unsafe if_nametoindex(String(text))
  return index == 0 ? nil : index
}

private func scopeSuffix(_ scope: UInt32) -> String {
  if scope == 0 { return "" }
  let name = unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(IF_NAMESIZE)) { buffer in
    unsafe if_indextoname(scope, buffer.baseAddress).map { unsafe String(cString: $0) }
  }
  // An interface may be named "7", which would be read as another one's number.
  if let name, scopeNumber(name[...]) == scope { return "%" + name }
  return "%\(scope)"
}

private func text<Address>(of address: Address, family: Int32) -> String {
  unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(INET6_ADDRSTRLEN)) { buffer in
    let start = unsafe withUnsafeBytes(of: address) { bytes in
      unsafe inet_ntop(family, bytes.baseAddress, buffer.baseAddress, socklen_t(buffer.count))
    }
    // There is room for the longest address, so it can't fail.
    return unsafe start.map { unsafe String(cString: $0) } ?? ""
  }
}
