// SPDX-License-Identifier: Apache-2.0
// From host names to addresses: the system's way, or the program's own.

/// Something that knows the addresses of hosts.
///
/// ```swift
/// struct Table: Resolver {
///   func resolve(_ host: String, port: UInt16) async throws(IoError) -> [SocketAddress] {
///     host == "db.internal" ? [.ipv4(10, 0, 0, 7, port: port)] : []
///   }
/// }
/// let stream = try await TcpStream.connect(host: "db.internal", port: 5432, resolver: Table())
/// ```
/// Its best address comes first. No address at all is `.hostNotFound` to whoever asked.
public protocol Resolver: Sendable {
  /// The addresses of `host`, with `port`. Asked for names only: `resolve(_:port:prefer:resolver:)` and
  /// `TcpStream.connect(host:port:)` read numeric addresses themselves.
  func resolve(_ host: String, port: UInt16) async throws(IoError) -> [SocketAddress]
}

/// The system's names: its hosts file, its name servers, and what else it is set up for.
///
/// The system's call can't be given up and blocks a thread, so it runs on threads of this resolver's own, which end when
/// nothing is to be looked up. Safe from any thread.
public struct SystemResolver: Resolver {
  /// With four threads, 256 lookups that may wait for one, and 10 seconds for each.
  public static let shared = SystemResolver()

  let pool: BlockingPool
  private let deadline: Duration
  private let function: Function
  /// Blocks its thread.
  typealias Function = @Sendable (String, UInt16) throws(IoError) -> [SocketAddress]

  /// A resolver with threads of its own.
  ///
  /// - Parameters:
  ///   - threads: how many lookups are made at once; at least 1.
  ///   - waiting: how many more may wait for a thread.
  ///   - deadline: how long a lookup may take, the waiting included.
  ///   - thread: how the threads are made; "-names" follows their name. What the system refuses is what a lookup throws.
  public init(
    threads: Int = 4, waiting: Int = 256, deadline: Duration = .seconds(10),
    thread: ThreadConfiguration = ThreadConfiguration()
  ) {
    self.init(threads: threads, waiting: waiting, deadline: deadline, thread: thread, by: Host.lookUp)
  }

  init(
    threads: Int = 4, waiting: Int = 256, deadline: Duration = .seconds(10),
    thread: ThreadConfiguration = ThreadConfiguration(), by function: @escaping Function
  ) {
    pool = BlockingPool(threads: threads, waiting: waiting, thread: thread, suffix: "names")
    self.deadline = deadline
    self.function = function
  }

  /// The addresses of `host`, with `port`, in the order of RFC 6724: the one to try first comes first.
  ///
  /// Throws `.hostNotFound`, `.lookupFailed` with the system's reason, `.timedOut`, `.limitReached` when too many lookups
  /// wait, `.malformed`, which quotes the host, `.shutDown`, in a fork of the process too. When the task is cancelled it
  /// throws `.cancelled` at once; a lookup that is being made goes on to its end, and nobody hears of it.
  /// `getaddrinfo(3)`.
  public func resolve(_ host: String, port: UInt16) async throws(IoError) -> [SocketAddress] {
    switch try Host(host, port: port) {
    case .address(let address): [address]
    case .name(let name):
      try await pool.call(within: deadline, during: "resolve \(name)") {
        [function] () throws(IoError) in try function(name, port)
      }.get()
    }
  }
}

/// Which of a host's addresses are wanted, and which of them first.
public enum AddressPreference: Sendable, Hashable, CaseIterable {
  /// All, in the resolver's order.
  case any
  /// All; IPv4 first.
  case v4First
  /// All; IPv6 first.
  case v6First
  /// IPv4 only.
  case v4Only
  /// IPv6 only.
  case v6Only

  /// The addresses that are wanted, each once, in the order in which they are.
  func arrange(_ addresses: [SocketAddress]) -> [SocketAddress] {
    var seen = Set<SocketAddress>()
    let unique = addresses.filter { seen.insert($0).inserted }
    let v4 = unique.filter { $0.family == .ipv4 }
    let v6 = unique.filter { $0.family == .ipv6 }
    return switch self {
    case .any: unique
    case .v4First: v4 + v6
    case .v6First: v6 + v4
    case .v4Only: v4
    case .v6Only: v6
    }
  }
}

/// The addresses of a host, each once: of a name such as "example.org", or of a numeric address, "127.0.0.1", "::1",
/// "[::1]" or "fe80::1%eth0", for which nobody is asked.
///
/// ```swift
/// for address in try await resolve("example.org", port: 80) { print(address) }
/// ```
/// Throws `.hostNotFound` when there is none that is wanted, `.malformed` for a host that is neither name nor address
/// ("127.1" and "300.1.1.1" are not), which it quotes, and what the resolver throws: see `SystemResolver.resolve(_:port:)`.
public func resolve(
  _ host: String, port: UInt16, prefer: AddressPreference = .any,
  resolver: any Resolver = SystemResolver.shared
) async throws(IoError) -> [SocketAddress] {
  let all =
    switch try Host(host, port: port) {
    case .address(let address): [address]
    case .name(let name): try await resolver.resolve(name, port: port)
    }
  let wanted = prefer.arrange(all)
  if wanted.isEmpty {
    let others = all.isEmpty ? "" : " (no address of the kind that is wanted)"
    throw IoError(.hostNotFound, during: "resolve \(host)\(others)")
  }
  return wanted
}
