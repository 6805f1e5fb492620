// SPDX-License-Identifier: Apache-2.0
// What a host is: a name, an address, or neither; and which of its addresses are wanted.
import CulvertTesting
import Testing

@testable import Culvert

/// Knows what it is told, and counts how often it is asked.
struct TableResolver: Resolver {
  var table: [String: [SocketAddress]] = [:]
  let asked = Tally()

  func resolve(_ host: String, port: UInt16) async throws(IoError) -> [SocketAddress] {
    asked.add()
    return table[host] ?? []
  }
}

@Suite(.timeLimit(watchdog)) struct HostTests {
  @Test(arguments: [
    ("127.0.0.1", "127.0.0.1:7"), ("::1", "[::1]:7"), ("[::1]", "[::1]:7"), ("0.0.0.0", "0.0.0.0:7"),
    ("fe80::1%99", "[fe80::1%99]:7"), ("[2001:db8::1]", "[2001:db8::1]:7"),
  ])
  func `a numeric host is its own address, and nobody is asked`(host: String, address: String) async throws {
    let table = TableResolver()
    let expected = [try SocketAddress(address)]
    #expect(try await resolve(host, port: 7, resolver: table) == expected)
    #expect(try await SystemResolver(by: { _, _ in [] }).resolve(host, port: 7) == expected)
    #expect(table.asked.value == 0)
  }

  private static let longest = String(repeating: "a234567.", count: 31) + "b2345"

  @Test(arguments: [
    "", "a\0b", "300.1.1.1", "127.1", "1", "0x7f.1", "a.0X7F", "1.2.3.4.", "::g", "a:80", "[127.0.0.1]",
    "[a]",
    "[]", "[\u{301}::1]", "[::1\u{301}]", "fe80::1%no-such-interface", "unix:/tmp/x", longest + "6",
  ])
  func `what is neither name nor address is malformed, and quoted`(host: String) async {
    let table = TableResolver()
    let errors = [
      await thrown { try await resolve(host, port: 1, resolver: table) },
      await thrown { try await SystemResolver.shared.resolve(host, port: 1) },
    ]
    for error in errors {
      #expect(error?.code == .malformed)
      #expect(error?.operation.hasPrefix("resolve \(host.debugDescription) (") == true)
    }
    #expect(table.asked.value == 0)
  }

  @Test(arguments: ["a", "localhost.", "1a", "a-1.b2", "xn--bcher-kva.example", longest, longest + "."])
  func `what may be a name is asked for as it is, and no address is a host that is not found`(host: String)
    async
  {
    let table = TableResolver()
    let error = await thrown { try await resolve(host, port: 1, resolver: table) }
    #expect(error?.code == .hostNotFound && error?.description == "resolve \(host): host not found")
    #expect(table.asked.value == 1)
  }

  @Test func `of the addresses those that are wanted come, each once, in the order that is preferred`()
    async throws
  {
    let (a, b) = (SocketAddress.ipv4(127, 0, 0, 2, port: 1), SocketAddress.ipv4(127, 0, 0, 3, port: 1))
    let (c, d) = (SocketAddress.loopback6(port: 1), try SocketAddress("[::2]:1"))
    let table = TableResolver(table: ["x": [a, c, a, d, b, c], "v4": [a]])
    let expected: [AddressPreference: [SocketAddress]] = [
      .any: [a, c, d, b], .v4First: [a, b, c, d], .v6First: [c, d, a, b], .v4Only: [a, b], .v6Only: [c, d],
    ]
    for preference in AddressPreference.allCases {
      let got = try await resolve("x", port: 1, prefer: preference, resolver: table)
      #expect(got == expected[preference], "\(preference)")
    }
    let error = await thrown { try await resolve("v4", port: 1, prefer: .v6Only, resolver: table) }
    #expect(error?.code == .hostNotFound)
    #expect(error?.operation == "resolve v4 (no address of the kind that is wanted)")
    #expect(await failure { try await resolve("::1", port: 1, prefer: .v4Only) } == .hostNotFound)
  }
}
