// SPDX-License-Identifier: Apache-2.0
import CCulvert
import Foundation
import Testing

@testable import Culvert

@Suite struct SocketAddressTests {
  // MARK: text

  @Test(
    arguments: [
      ("127.0.0.1:80", "127.0.0.1", 80, .ipv4),
      ("0.0.0.0:0", "0.0.0.0", 0, .ipv4),
      ("255.255.255.255:65535", "255.255.255.255", 65535, .ipv4),
      ("[::]:0", "::", 0, .ipv6),
      ("[::1]:80", "::1", 80, .ipv6),
      ("[2001:db8::1:0:0:1]:65535", "2001:db8::1:0:0:1", 65535, .ipv6),
      ("[fe80::1%4000000]:80", "fe80::1%4000000", 80, .ipv6),
      ("[::ffff:127.0.0.1]:80", "::ffff:127.0.0.1", 80, .ipv6),
      ("unix:/run/app.sock", "/run/app.sock", nil, .unix),
      ("unix:relative name:80", "relative name:80", nil, .unix),
    ] as [(String, String, UInt16?, SocketAddress.Family)])
  func `an address in its canonical form is taken apart and printed the same`(
    text: String, host: String, port: UInt16?, family: SocketAddress.Family
  ) throws {
    let address = try SocketAddress(text)
    #expect(address.host == host)
    #expect(address.port == port)
    #expect(address.family == family)
    #expect(address.description == text)
  }

  @Test(arguments: [
    ("[0:0:0:0:0:0:0:1]:80", "[::1]:80"),
    ("[2001:DB8::ABCD]:80", "[2001:db8::abcd]:80"),
    ("[2001:db8:0:0:1:0:0:0]:80", "[2001:db8:0:0:1::]:80"),
    ("[2001:db8:0:1:1:1:1:1]:80", "[2001:db8:0:1:1:1:1:1]:80"),
    ("[2001:0db8::0001]:80", "[2001:db8::1]:80"),
    ("[::ffff:7f00:1]:80", "[::ffff:127.0.0.1]:80"),
    ("[fe80::1%0]:80", "[fe80::1]:80"),
  ])
  func `IPv6 is printed in the form of RFC 5952`(text: String, printed: String) throws {
    #expect(try SocketAddress(text).description == printed)
  }

  @Test func `the makers give what their text gives`() throws {
    #expect(try SocketAddress("192.168.1.2:80") == .ipv4(192, 168, 1, 2, port: 80))
    #expect(try SocketAddress("127.0.0.1:7") == .loopback(port: 7))
    #expect(try SocketAddress("[::1]:7") == .loopback6(port: 7))
    #expect(try SocketAddress("unix:/a b") == .unix(path: "/a b"))
    #expect(try SocketAddress(host: "127.0.0.1", port: 7) == .loopback(port: 7))
    #expect(try SocketAddress(host: "::1", port: 7) == .loopback6(port: 7))
    #expect(try SocketAddress(host: "fe80::1%9", port: 7) == SocketAddress("[fe80::1%9]:7"))
  }

  @Test(arguments: [
    ("", "empty"),
    ("127.0.0.1", "missing port"),
    ("127.0.0.1:", "missing port"),
    ("80", "missing port"),
    ("[::1]", "missing port"),
    ("[::1]:", "missing port"),
    ("[::1]80", "missing port"),
    ("127.0.0.1:65536", "port out of range"),
    ("[::1]:65536", "port out of range"),
    ("127.0.0.1:99999999999999999999999", "port out of range"),
    ("127.0.0.1:-1", "port is not a plain number"),
    ("127.0.0.1:080", "port is not a plain number"),
    ("127.0.0.1:00", "port is not a plain number"),
    ("127.0.0.1:+80", "port is not a plain number"),
    ("127.0.0.1: 80", "port is not a plain number"),
    ("127.0.0.1:80 ", "port is not a plain number"),
    ("127.0.0.1:٣", "port is not a plain number"),
    ("127.0.0.1:8\u{301}", "port is not a plain number"),
    ("127.0.0.1:\u{301}80", "port is not a plain number"),
    ("[::1]:\u{301}80", "port is not a plain number"),
    ("127.0.0.1:http", "port is not a plain number"),
    ("127.0.0.1:0x50", "port is not a plain number"),
    (":80", "not a numeric address"),
    ("localhost:80", "not a numeric address"),
    (" 127.0.0.1:80", "not a numeric address"),
    ("127.0.0.1 :80", "not a numeric address"),
    ("127.1:80", "not a numeric address"),
    ("127.0.0.01:80", "not a numeric address"),
    ("256.0.0.1:80", "not a numeric address"),
    ("0x7f000001:80", "not a numeric address"),
    ("127.0.0.1%1:80", "not a numeric address"),
    ("tcp://127.0.0.1:80", "not a numeric address"),
    ("[]:80", "not a numeric address"),
    ("[127.0.0.1]:80", "not a numeric address"),
    ("[[::1]]:80", "not a numeric address"),
    ("[1::2::3]:80", "not a numeric address"),
    ("[\u{301}::1]:80", "not a numeric address"),
    ("[::1\u{600}]:80", "not a numeric address"),
    ("[%1]:80", "not a numeric address"),
    ("::1:80", "missing brackets"),
    ("::1", "missing brackets"),
    ("1:2:3:4:5:6:7:8:80", "missing brackets"),
    ("fe80::1%1:80", "missing brackets"),
    ("[::1:80", "missing brackets"),
    ("[fe80::1%]:80", "unknown scope"),
    ("[fe80::1%01]:80", "unknown scope"),
    ("[fe80::1%4294967296]:80", "unknown scope"),
    ("[fe80::1%no such interface]:80", "unknown scope"),
    ("unix:", "empty path"),
  ])
  func `bad text is malformed, and the error quotes it and says what is wrong`(text: String, reason: String) {
    let error = failure { () throws(IoError) in try SocketAddress(text) }
    #expect(error?.code == .malformed)
    #expect(error?.description == "parse address \"\(text)\" (\(reason)): malformed")
  }

  @Test(arguments: ["127.0.0.1\0:80", "127.0.0.1:80\0", "[fe80::1%1\0]:80", "unix:/tmp/a\0b", "\0"])
  func `text with a NUL is malformed, and quoted without the NUL itself`(text: String) {
    let error = failure { () throws(IoError) in try SocketAddress(text) }
    #expect(error?.code == .malformed)
    #expect(error?.operation == "parse address \(text.debugDescription) (embedded NUL)")
    #expect(error?.operation.utf8.contains(0) == false)
  }

  @Test(arguments: ["", "localhost", "[::1]", "127.0.0.1:80", "::1\0", "fe80::1%no such interface"])
  func `a host that is not numeric is malformed and quoted`(host: String) {
    let error = failure { () throws(IoError) in try SocketAddress(host: host, port: 80) }
    #expect(error?.code == .malformed)
    #expect(error?.operation.contains(host.debugDescription) == true)
  }

  @Test(arguments: [-1, 65536, Int.min, Int.max])
  func `a port outside 0 to 65535 is an invalid argument and quoted`(port: Int) {
    let error = failure { () throws(IoError) in try SocketAddress(host: "::1", port: port) }
    #expect(error?.code == .invalidArgument)
    #expect(error?.operation == "make an address of \"::1\" and port \(port) (port out of range)")
  }

  @Test(arguments: [0, 1, 65535])
  func `the ends of the port range are ports`(port: Int) throws {
    #expect(try SocketAddress(host: "127.0.0.1", port: port).port == UInt16(port))
    #expect(try SocketAddress("[::1]:\(port)").port == UInt16(port))
  }

  // MARK: scopes

  @Test func `a scope is read by name and by number, and printed by name`() throws {
    let name = try #require(["lo", "lo0"].first { (name: String) in unsafe if_nametoindex(name) != 0 })
    let number = unsafe if_nametoindex(name)
    let address = try SocketAddress("[fe80::1%\(name)]:80")
    #expect(try address == SocketAddress("[fe80::1%\(number)]:80"))
    #expect(address.description == "[fe80::1%\(name)]:80")
    #expect(address.host == "fe80::1%\(name)")
    #expect(try SocketAddress(host: address.host, port: 80) == address)
  }

  @Test func `addresses that differ in scope alone differ`() throws {
    #expect(try SocketAddress("[fe80::1%4000000]:80") != SocketAddress("[fe80::1%4000001]:80"))
    #expect(try SocketAddress("[fe80::1%4000000]:80") != SocketAddress("[fe80::1]:80"))
  }

  // MARK: equality

  @Test func `an address mapped from IPv4 stays IPv6 and equals no IPv4 address`() throws {
    let mapped = try SocketAddress("[::ffff:127.0.0.1]:80")
    #expect(mapped.family == .ipv6)
    #expect(mapped != .loopback(port: 80))
    #expect(try throughKernelForm(mapped) == mapped)
  }

  @Test func `equal addresses are one element of a set`() throws {
    let texts = ["127.0.0.1:80", "127.0.0.1:81", "127.0.0.2:80", "[::1]:80", "[0::1]:80", "unix:a", "unix:b"]
    var addresses: Set<SocketAddress> = []
    for text in texts { addresses.insert(try SocketAddress(text)) }
    #expect(addresses.count == 6)
    #expect(addresses.contains(.loopback(port: 80)))
    #expect(addresses.contains(.loopback6(port: 80)))
  }

  @Test func `paths that look equal but differ in bytes are different addresses`() throws {
    #expect("/caf\u{e9}" == "/cafe\u{301}")
    #expect(try SocketAddress.unix(path: "/caf\u{e9}") != .unix(path: "/cafe\u{301}"))
  }

  // MARK: Unix paths

  @Test func `a path may fill the kernel's room except for its NUL`() throws {
    let longest = String(repeating: "a", count: sockaddr_un.pathCapacity - 1)
    let address = try SocketAddress.unix(path: longest)
    #expect(address.host == longest)
    #expect(try throughKernelForm(address) == address)

    let error = failure { () throws(IoError) in try SocketAddress.unix(path: longest + "b") }
    #expect(error?.code == .malformed)
    #expect(error?.operation == "parse address \"unix:\(longest)b\" (path too long)")
  }

  @Test func `a path is measured in bytes`() {
    let path = String(repeating: "é", count: sockaddr_un.pathCapacity / 2)
    let error = failure { () throws(IoError) in try SocketAddress.unix(path: path) }
    #expect(error?.operation.hasSuffix("(path too long)") == true)
  }

  @Test func `a path may begin with a combining character`() throws {
    let address = try SocketAddress("unix:\u{301}a")
    #expect(address.host.unicodeScalars.elementsEqual("\u{301}a".unicodeScalars))
  }

  // MARK: properties

  @Test func `what is printed is read as the same address, and so is its host with its port`() throws {
    var random = SplitMix(state: 2026)
    for _ in 0..<20_000 {
      let address = SocketAddress.random(using: &random)
      #expect(try SocketAddress(address.description) == address)
      if let port = address.port {
        #expect(try SocketAddress(host: address.host, port: Int(port)) == address)
      } else {
        #expect(try SocketAddress.unix(path: address.host) == address)
      }
    }
  }

  @Test func `the kernel's form is read as the same address`() throws {
    var random = SplitMix(state: 5952)
    for _ in 0..<20_000 {
      let address = SocketAddress.random(using: &random)
      #expect(try throughKernelForm(address) == address)
    }
  }

  @Test func `any text is either an address that round-trips or malformed`() throws {
    var random = SplitMix(state: 1)
    let pieces = ["[", "]", ":", "::", "1", "ff", "127.0.0.1", "%", "lo", "unix:", "/", "80", "é", "\u{301}"]
    for _ in 0..<20_000 {
      var text = ""
      for _ in 0..<Int.random(in: 0...8, using: &random) { text += pieces.randomElement(using: &random)! }
      do throws(IoError) {
        let address = try SocketAddress(text)
        #expect(try SocketAddress(address.description) == address)
      } catch {
        #expect(error.code == .malformed)
        #expect(error.operation.contains(text.debugDescription))
      }
    }
  }

  // MARK: the kernel's form

  @Test func `the kernel's form has the family, byte order and length that system calls want`() throws {
    let address = SocketAddress.ipv4(1, 2, 3, 4, port: 0x5678)
    #expect(address.family.value == AF_INET)
    #expect(SocketAddress.loopback6(port: 1).family.value == AF_INET6)
    #expect(try SocketAddress.unix(path: "/a").family.value == AF_UNIX)
    try unsafe address.withSockaddr { raw, length in
      #expect(Int(length) == MemoryLayout<sockaddr_in>.size)
      #expect(unsafe Int32(raw.pointee.sa_family) == AF_INET)
      let bytes = unsafe UnsafeRawBufferPointer(start: raw, count: Int(length))
      #expect(unsafe bytes[2..<8].elementsEqual([0x56, 0x78, 1, 2, 3, 4]))
    }
    let length = try unsafe SocketAddress.unix(path: "/ab").withSockaddr { _, length in Int(length) }
    #expect(length == sockaddr_un.pathOffset + 4)
  }

  @Test func `an error from the closure comes out as it is`() {
    let error = failure { () throws(IoError) -> Int in
      try unsafe SocketAddress.loopback(port: 1).withSockaddr { (_, _) throws(IoError) -> Int in
        throw IoError(.closed, during: "test")
      }
    }
    #expect(error == IoError(.closed, during: "test"))
  }

  @Test func `a failed call and an unknown family give no address`() {
    let failed = unsafe SocketAddress.read { raw, _ in
      unsafe raw.pointee.sa_family = sa_family_t(AF_INET)
      return -1
    }
    #expect(failed.result == -1)
    #expect(failed.address == nil)
    let unknown = unsafe SocketAddress.read { raw, _ in
      unsafe raw.pointee.sa_family = 250
      return 7
    }
    #expect(unknown.result == 7)
    #expect(unknown.address == nil)
  }

  @Test func `a flow label survives the kernel's form`() throws {
    let address = SocketAddress(.v6(.init(high: 1, low: 2, scope: 3, flow: 4), port: 5))
    #expect(try throughKernelForm(address) == address)
  }

  @Test func `a bound socket's address is read from the kernel`() throws {
    let fd = culvert_socket(AF_INET, culvert_sock_stream())
    defer { close(fd) }
    let bound = try unsafe SocketAddress.loopback(port: 0).withSockaddr { unsafe bind(fd, $0, $1) }
    try #require(bound == 0)
    let (result, address) = unsafe SocketAddress.read { unsafe getsockname(fd, $0, $1) }
    #expect(result == 0)
    let local = try #require(address)
    #expect(local.host == "127.0.0.1")
    #expect(local.port != 0)
  }

  @Test func `an unnamed Unix socket has an empty path`() throws {
    let fd = culvert_socket(AF_UNIX, culvert_sock_stream())
    defer { close(fd) }
    let (result, address) = unsafe SocketAddress.read { unsafe getsockname(fd, $0, $1) }
    #expect(result == 0)
    let unnamed = try #require(address)
    #expect(unnamed == SocketAddress(.unix([])))
    #expect(unnamed.host == "")
    #expect(unnamed.port == nil)
    #expect(unnamed.description == "unix:")
    #expect(try throughKernelForm(unnamed) == unnamed)
  }

  @Test func `a path that fills the kernel's room without a NUL is read whole`() throws {
    let full = SocketAddress(.unix(Array(repeating: UInt8(ascii: "a"), count: sockaddr_un.pathCapacity)))
    #expect(try throughKernelForm(full) == full)
  }

  @Test func `a path that is not UTF-8 keeps its bytes`() throws {
    let address = SocketAddress(.unix([0x2f, 0xff]))
    #expect(try throughKernelForm(address) == address)
    #expect(address.description == "unix:/\u{fffd}")
  }

  @Test(.enabled(if: Platform.hasAbstractNames))
  func `an abstract name is printed with an @, read from that, and ends where it ends`() throws {
    let address = try SocketAddress("unix:@a b")
    #expect(try address == .unix(abstract: "a b"))
    #expect(address == SocketAddress(.unix([0, 0x61, 0x20, 0x62])))
    #expect(address.description == "unix:@a b" && address.host == "@a b")
    #expect(try throughKernelForm(address) == address)
    #expect(try unsafe address.withSockaddr { _, length in Int(length) } == sockaddr_un.pathOffset + 4)
    let longest = try SocketAddress.unix(
      abstract: String(repeating: "n", count: sockaddr_un.pathCapacity - 1))
    #expect(try throughKernelForm(longest) == longest)
    #expect(SocketAddress(.unix([0, 0x61, 0])).description == "unix:@a@")
  }

  @Test(.enabled(if: Platform.hasAbstractNames))
  func `an abstract name that can't be is malformed`() {
    let long = String(repeating: "n", count: sockaddr_un.pathCapacity)
    for (name, reason) in [("", "empty name"), ("a\0b", "embedded NUL"), (long, "name too long")] {
      let error = failure { () throws(IoError) in try SocketAddress.unix(abstract: name) }
      #expect(error?.code == .malformed && error?.operation.hasSuffix("(\(reason))") == true)
    }
  }

  @Test func `a path that begins with an @ is told apart from an abstract name`() throws {
    let error = failure { () throws(IoError) in try SocketAddress.unix(path: "@a") }
    #expect(error?.operation == "parse address \"unix:@a\" (path begins with @)")
    #expect(SocketAddress(.unix(Array("@a".utf8))).description == "unix:./@a")
    #expect(try SocketAddress("unix:./@a").host == "./@a")
  }

  @Test func `an address takes 32 bytes at most`() {
    #expect(MemoryLayout<SocketAddress>.size <= 32)
  }
}

private func failure<R>(of body: () throws(IoError) -> R) -> IoError? {
  do throws(IoError) {
    _ = try body()
    return nil
  } catch {
    return error
  }
}

private func throughKernelForm(_ address: SocketAddress) throws(IoError) -> SocketAddress? {
  try unsafe address.withSockaddr { source, length in
    unsafe SocketAddress.read { target, written in
      unsafe memcpy(target, source, Int(length))
      unsafe written.pointee = length
      return 0
    }.address
  }
}

private struct SplitMix: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }
}

extension SocketAddress {
  fileprivate static func random(using random: inout SplitMix) -> SocketAddress {
    let port = UInt16.random(in: .min ... .max, using: &random)
    switch UInt8.random(in: 0..<5, using: &random) {
    case 0: return SocketAddress(.v4(.random(in: .min ... .max, using: &random), port: port))
    case 1: return SocketAddress(.unix(randomPath(using: &random)))
    default:
      let scope: UInt32 = Bool.random(using: &random) ? 0 : .random(in: 0...9, using: &random)
      let high = sparse(using: &random), low = sparse(using: &random)
      return SocketAddress(.v6(Ipv6(high: high, low: low, scope: scope), port: port))
    }
  }

  /// Runs of zeros are what IPv6 text is about.
  private static func sparse(using random: inout SplitMix) -> UInt64 {
    (0..<4).reduce(0) { bits, _ in
      let group: UInt64 = [0, 0, 1, 0xffff, random.next() & 0xffff].randomElement(using: &random)!
      return bits << 16 | group
    }
  }

  private static func randomPath(using random: inout SplitMix) -> [UInt8] {
    var path = ""
    for _ in 0..<Int.random(in: 1...25, using: &random) {
      let scalar = Unicode.Scalar(UInt32.random(in: 1...0x10ffff, using: &random)) ?? "/"
      path.unicodeScalars.append(scalar)
    }
    return Array(path.utf8)
  }
}
