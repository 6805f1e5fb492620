// SPDX-License-Identifier: Apache-2.0
// Which texts are addresses, by their grammar, and by inet_pton(3) for IPv6.

import Culvert
import Foundation

enum Definition {
  /// Whether only the system can say: there is the name of an interface in it.
  static func needsSystem(_ text: String) -> Bool { text.utf8.contains(UInt8(ascii: "%")) }

  static func isAddress(_ text: String) -> Bool {
    if text.utf8.contains(0) { return false }
    if text.utf8.starts(with: "unix:@".utf8) { return isAbstractName(tail(text, 6)) }
    if text.utf8.starts(with: "unix:".utf8) { return isPath(tail(text, 5)) }
    guard let colon = text.utf8.lastIndex(of: UInt8(ascii: ":")) else { return false }
    let (host, port) = (String(text[..<colon]), String(text[text.utf8.index(after: colon)...]))
    guard isNumber(port, upTo: 65_535) else { return false }
    if host.utf8.first == UInt8(ascii: "["), host.utf8.last == UInt8(ascii: "]") {
      return isIpv6(String(Substring(host.utf8.dropFirst().dropLast())))
    }
    return isIpv4(host)
  }

  static func isHost(_ text: String) -> Bool { !text.utf8.contains(0) && (isIpv4(text) || isIpv6(text)) }

  static func isPath(_ text: String) -> Bool {
    1...107 ~= text.utf8.count && !text.utf8.contains(0) && text.utf8.first != UInt8(ascii: "@")
  }

  static func isAbstractName(_ text: String) -> Bool { 1...107 ~= text.utf8.count && !text.utf8.contains(0) }

  static func withoutBrackets(_ text: String) -> String {
    let isBracketed = text.utf8.first == UInt8(ascii: "[") && text.utf8.last == UInt8(ascii: "]")
    return isBracketed ? String(Substring(text.utf8.dropFirst().dropLast())) : text
  }

  private static func tail(_ text: String, _ count: Int) -> String {
    String(Substring(text.utf8.dropFirst(count)))
  }

  private static func isIpv4(_ text: String) -> Bool {
    let parts = text.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
    return parts.count == 4 && parts.allSatisfy { isNumber(String(Substring($0)), upTo: 255) }
  }

  /// In plain digits, with no zero before them.
  private static func isNumber(_ text: String, upTo most: Int) -> Bool {
    guard 1...5 ~= text.utf8.count, text.utf8.allSatisfy({ 48...57 ~= $0 }) else { return false }
    guard let number = Int(text), number <= most else { return false }
    return String(number) == text
  }

  private static func isIpv6(_ text: String) -> Bool {
    var address = in6_addr()
    return unsafe inet_pton(AF_INET6, text, &address) == 1
  }
}
