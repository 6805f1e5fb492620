// SPDX-License-Identifier: Apache-2.0
// Addresses and hosts out of any text: what is read is printed so that it is read again, and what is not is quoted.

import Culvert
import FuzzSupport

/// The program, under the name that the package manager gives it.
@_cdecl("FuzzAddress_main")
public func main(
  _ argumentCount: Int32, _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?
) -> Int32 {
  unsafe fuzz(argumentCount, arguments) { input in
    let text = String(decoding: input, as: UTF8.self)
    readAddress(text)
    readHost(text)
    readUnixNames(text)
    runAtOnce { await resolveHost(text) }
  }
}

/// The address, or what is wrong with the text, if that is as it must be.
private func read(_ text: String, _ read: () throws(IoError) -> SocketAddress) -> SocketAddress? {
  do throws(IoError) {
    return try read()
  } catch {
    check(error.code == .malformed, "\(error.code) for \(text.debugDescription)")
    checkQuotes(error, text, "parse address")
    return nil
  }
}

/// An error quotes the whole text, escaped, and little more.
private func checkQuotes(_ error: IoError, _ text: String, _ during: String) {
  let quoted = text.debugDescription
  check(error.operation.utf8.starts(with: "\(during) \(quoted) (".utf8), "not quoted: \(error.operation)")
  check(error.operation.utf8.count <= quoted.utf8.count + 60, "too long: \(error.operation)")
  check(!error.operation.utf8.contains(0), "a NUL is in it")
}

private func readAddress(_ text: String) {
  let address = read(text) { () throws(IoError) in try SocketAddress(text) }
  check(
    (address != nil) == Definition.isAddress(text) || Definition.needsSystem(text),
    "\(text): \(address as Any)")
  guard let address else { return }
  let printed = address.description
  let again = try? SocketAddress(printed)
  check(again == address && again?.description == printed, "\(text) is \(printed), is \(again as Any)")
  check((address.port == nil) == (address.family == .unix), "the port of \(text)")
  if let port = address.port {
    check((try? SocketAddress(host: address.host, port: Int(port))) == address, "the host of \(text)")
  } else {
    check(printed == "unix:" + address.host && printed.utf8.elementsEqual(text.utf8), "\(text) is \(printed)")
  }
}

private func readHost(_ text: String) {
  let address = read(text) { () throws(IoError) in try SocketAddress(host: text, port: 80) }
  check(
    (address != nil) == Definition.isHost(text) || Definition.needsSystem(text), "\(text): \(address as Any)")
  guard let address else { return }
  check(address.port == 80 && address.family != .unix, "\(text) is \(address)")
  check((try? SocketAddress(host: address.host, port: 80)) == address, "\(text) is \(address.host)")
}

private func readUnixNames(_ text: String) {
  let path = read("unix:\(text)") { () throws(IoError) in try SocketAddress.unix(path: text) }
  check((path != nil) == Definition.isPath(text), "the path \(text.debugDescription)")
  check(path.map { $0.host.utf8.elementsEqual(text.utf8) } ?? true, "the path \(text.debugDescription)")
  let abstract = read("unix:@\(text)") { () throws(IoError) in try SocketAddress.unix(abstract: text) }
  check((abstract != nil) == Definition.isAbstractName(text), "the name \(text.debugDescription)")
  check(
    abstract.map { $0.host.utf8.elementsEqual("@\(text)".utf8) } ?? true, "the name \(text.debugDescription)")
  check(path == nil || path != abstract, "\(text.debugDescription) is both")
}

/// Knows one address for every name, and answers at once.
private struct OneAddress: Resolver {
  static let answer = SocketAddress.ipv4(10, 1, 2, 3, port: 80)
  let expected: String

  func resolve(_ host: String, port: UInt16) async throws(IoError) -> [SocketAddress] {
    check(host.utf8.elementsEqual(expected.utf8) && port == 80, "asked for \(host.debugDescription)")
    return [Self.answer]
  }
}

private func resolveHost(_ text: String) async {
  let numeric = try? SocketAddress(host: Definition.withoutBrackets(text), port: 80)
  do throws(IoError) {
    let found = try await resolve(text, port: 80, resolver: OneAddress(expected: text))
    // A name is never taken for an address, nor the other way round.
    check(found == [numeric ?? OneAddress.answer], "\(text) is \(found)")
    check(numeric != nil || text.utf8.count <= 254, "a long name")
  } catch {
    check(error.code == .malformed, "\(error)")
    checkQuotes(error, text, "resolve")
    check(numeric == nil || text.utf8.first == UInt8(ascii: "["), "\(text) is an address")
  }
}
