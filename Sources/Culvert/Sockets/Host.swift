// SPDX-License-Identifier: Apache-2.0
// A host as text: an address, or a name to be looked up. And the looking up, which blocks the thread.

import CCulvert

/// What a text for a host means.
enum Host: Equatable {
  /// A numeric address: there is nothing to look up.
  case address(SocketAddress)
  case name(String)

  /// The most bytes of a name, without a dot at its end (RFC 1035).
  private static let longestName = 253

  /// Reads "example.org", "127.0.0.1", "::1", "[::1]" or "fe80::1%eth0".
  ///
  /// What ends in a number is an address or nothing: the system would take "127.1" and "0x7f.1" for 127.0.0.1, and ask the
  /// name servers for "300.1.1.1".
  init(_ text: String, port: UInt16) throws(IoError) {
    if text.isEmpty { throw Self.malformed(text, "empty") }
    if text.utf8.contains(0) { throw Self.malformed(text, "embedded NUL") }
    let bytes = text.utf8
    let isBracketed = bytes.first == UInt8(ascii: "[") && bytes.last == UInt8(ascii: "]")
    if isBracketed || bytes.contains(UInt8(ascii: ":")) || Self.endsInNumber(text) {
      // As bytes: as a character, a bracket with an accent on it would go with the accent.
      let host = isBracketed ? String(Substring(bytes.dropFirst().dropLast())) : text
      guard let address = try? SocketAddress(host: host, port: Int(port)),
        !isBracketed || address.family == .ipv6
      else { throw Self.malformed(text, "not a numeric address") }
      self = .address(address)
    } else {
      let dots = bytes.last == UInt8(ascii: ".") ? 1 : 0
      if bytes.count - dots > Self.longestName { throw Self.malformed(text, "name too long") }
      self = .name(text)
    }
  }

  private static func malformed(_ text: String, _ reason: String) -> IoError {
    IoError(.malformed, during: "resolve \(text.debugDescription) (\(reason))")
  }

  private static func endsInNumber(_ text: String) -> Bool {
    guard let last = text.utf8.split(separator: UInt8(ascii: ".")).last else { return false }
    let isHexadecimal = last.starts(with: "0x".utf8) || last.starts(with: "0X".utf8)
    return isHexadecimal || last.allSatisfy { UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 }
  }

  /// The addresses of a name, as the system has them. Blocks the thread, for as long as the name servers take.
  static func lookUp(_ name: String, port: UInt16) throws(IoError) -> [SocketAddress] {
    var found = unsafe culvert_lookup()
    let result = unsafe Syscalls.findAddresses(of: name, port: port, &found)
    defer { unsafe culvert_lookup_free(&found) }
    switch try result.value(during: "resolve \(name)") {
    case culvert_found: return unsafe addresses(found)
    case culvert_host_not_found: throw IoError(.hostNotFound, during: "resolve \(name)")
    default:
      let why = unsafe String(cString: found.why)
      throw IoError(.lookupFailed, during: "resolve \(name) (\(why))")
    }
  }

  private static func addresses(_ found: culvert_lookup) -> [SocketAddress] {
    var all: [SocketAddress] = []
    var next = unsafe found.first
    while let entry = unsafe next {
      let (raw, length) = unsafe (entry.pointee.ai_addr, entry.pointee.ai_addrlen)
      let (_, address) = unsafe SocketAddress.read { room, roomLength in
        unsafe UnsafeMutableRawPointer(room).copyMemory(from: raw!, byteCount: Int(length))
        unsafe roomLength.pointee = length
        return 0
      }
      if let address { all.append(address) }
      unsafe next = entry.pointee.ai_next
    }
    return all
  }
}
