// SPDX-License-Identifier: Apache-2.0
// RFC 8305, "Happy Eyeballs": in which order to try a host's addresses, and when. Knows no sockets and no time.
//
// An address that does not answer costs minutes, and a host often has one: IPv6 that its network does not carry. So the
// next attempt begins while the one before is still under way, after a stagger, or at once when that has failed.

/// The decisions of one connect to several addresses: an event in, an action out.
struct HappyEyeballs {
  /// How long an attempt has for itself.
  static let stagger = Duration.milliseconds(250)
  /// The most attempts under way at once: a name may have any number of addresses.
  static let mostAtOnce = 16

  enum Action: Equatable {
    /// Try that address.
    case start(Int)
    case wait
    /// This connection is the one.
    case use
    /// Close this connection: there is another one, or nobody wants one.
    case discard
    /// Every address has failed.
    case giveUp
  }

  private let count: Int
  private var started = 0
  private var running = 0
  /// A connection is used, every address has failed, or nobody wants a connection any more.
  private(set) var isOver = false

  /// For so many addresses, in the order in which to try them.
  init(count: Int) {
    self.count = count
  }

  /// Whether there is an address that has not been tried.
  var hasMore: Bool { started < count }

  mutating func begin() -> Action { next() }

  /// The stagger that began with `attempt` has passed. That of an earlier attempt than the last one means nothing.
  mutating func staggerPassed(after attempt: Int) -> Action {
    attempt == started - 1 && hasMore ? next() : .wait
  }

  mutating func attemptFailed() -> Action {
    running -= 1
    return next()
  }

  mutating func attemptSucceeded() -> Action {
    running -= 1
    defer { isOver = true }
    return isOver ? .discard : .use
  }

  /// Nobody wants a connection any more.
  mutating func stop() { isOver = true }

  private mutating func next() -> Action {
    if isOver { return .wait }
    if hasMore && running < Self.mostAtOnce {
      defer { (started, running) = (started + 1, running + 1) }
      return .start(started)
    }
    if running > 0 { return .wait }
    isOver = true
    return .giveUp
  }

  /// The families in turn, beginning with that of the first address: one that does not work delays the other but once.
  static func interleave(_ addresses: [SocketAddress]) -> [SocketAddress] {
    let first = addresses.filter { $0.family == addresses.first?.family }
    let other = addresses.filter { $0.family != addresses.first?.family }
    let pairs = zip(first, other).flatMap { [$0, $1] }
    let paired = pairs.count / 2
    return pairs + first.dropFirst(paired) + other.dropFirst(paired)
  }
}
