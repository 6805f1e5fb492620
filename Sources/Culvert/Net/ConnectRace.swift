// SPDX-License-Identifier: Apache-2.0
// Connecting to a host: attempts as child tasks, of which HappyEyeballs decides.

/// Attempts at several addresses, of which the first to succeed is used and the others are closed.
struct ConnectRace: Sendable {
  /// What is done to each attempt's socket before it connects.
  typealias SetUp = @Sendable (borrowing TcpSocket) throws(IoError) -> Void

  private enum Event: Sendable {
    case connected(TcpStream)
    case failed(attempt: Int, IoError)
    case staggerPassed(attempt: Int)
    /// The task was cancelled, or the worker has ended.
    case ended(IoError)
  }

  private let host: String
  private let addresses: [SocketAddress]
  private let stagger: Duration
  private let setUp: SetUp
  private var decisions: HappyEyeballs
  private var failures: [Int: IoError] = [:]
  private var winner: TcpStream?
  private var ending: IoError?

  /// - Parameter host: whose addresses they are, for the errors.
  init(_ addresses: [SocketAddress], of host: String, stagger: Duration, setUp: @escaping SetUp) {
    self.addresses = HappyEyeballs.interleave(addresses)
    self.host = host
    self.stagger = stagger
    self.setUp = setUp
    decisions = HappyEyeballs(count: addresses.count)
  }

  /// Returns when all attempts have ended, the losers by being cancelled.
  mutating func run() async throws(IoError) -> TcpStream {
    await withTaskGroup(of: Event.self) { group in
      perform(decisions.begin(), in: &group)
      while let event = await group.next() { handle(event, in: &group) }
    }
    if let winner { return winner }
    throw ending?.of(operation) ?? summary
  }

  private mutating func handle(_ event: Event, in group: inout TaskGroup<Event>) {
    switch event {
    case .connected(let stream):
      if decisions.attemptSucceeded() == .use {
        winner = stream
        group.cancelAll()
      } else {
        stream.close()
      }
    case .failed(let attempt, let error):
      failures[attempt] = error
      perform(decisions.attemptFailed(), in: &group)
    case .staggerPassed(let attempt): perform(decisions.staggerPassed(after: attempt), in: &group)
    case .ended(let error):
      if decisions.isOver { return }  // losers and staggers end so, too
      ending = error
      decisions.stop()
      group.cancelAll()
    }
  }

  private func perform(_ action: HappyEyeballs.Action, in group: inout TaskGroup<Event>) {
    switch action {
    case .start(let number):
      let (address, setUp, stagger) = (addresses[number], setUp, stagger)
      group.addTask { await Self.attempt(number, address, setUp) }
      if decisions.hasMore { group.addTask { await Self.pause(after: number, stagger) } }
    case .giveUp: group.cancelAll()  // the staggers
    case .wait, .use, .discard: break
    }
  }

  private static func attempt(_ number: Int, _ address: SocketAddress, _ setUp: SetUp) async -> Event {
    do throws(IoError) {
      let socket = try TcpSocket(address.family, for: "connect to \(address)")
      try setUp(socket)
      return .connected(try await socket.connect(to: address))
    } catch {
      let isEnd = error.code == .cancelled || error.code == .shutDown
      return isEnd ? .ended(error) : .failed(attempt: number, error)
    }
  }

  private static func pause(after number: Int, _ stagger: Duration) async -> Event {
    do throws(IoError) {
      try await sleep(for: stagger)
      return .staggerPassed(attempt: number)
    } catch {
      return .ended(error)
    }
  }

  private var operation: String { "connect to \(host) port \(addresses.first?.port ?? 0)" }

  /// All failures, in the order of the attempts. The code is that of the first one that is not for want of a way there: where
  /// IPv6 is unreachable and IPv4 refused, the refusal tells more.
  private var summary: IoError {
    let inOrder = failures.sorted { $0.key < $1.key }.map(\.value)
    let noWay: Set<IoError.Code> = [.unreachable, .networkDown, .addressNotAvailable, .unsupported]
    guard let telling = inOrder.first(where: { !noWay.contains($0.code) }) ?? inOrder.first else {
      return IoError(.hostNotFound, during: operation)
    }
    if inOrder.count == 1 {
      return host == addresses[0].host ? telling : telling.of("\(telling.operation) for \(host)")
    }
    let list = inOrder.map { String($0.description.trimmingPrefix("connect to ")) }
    return telling.of("\(operation) (\(list.joined(separator: "; ")))")
  }
}
