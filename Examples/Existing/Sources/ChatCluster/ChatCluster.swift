// SPDX-License-Identifier: Apache-2.0
// A chat server's part in a cluster: what happens here is published through Redis, and what others publish is heard. When Redis is
// gone the chat goes on by itself, says so, and this connects again.

public import ChatCore
public import ChatServing
public import Culvert
import Synchronization

/// One of several servers that share their rooms through a Redis.
public final class ChatCluster: Sendable {
  private static let channel = "culvert-chat"
  /// How often each server says that it is there, and after how long a silence it is not.
  private static let beat = Duration.seconds(1)
  private static let silence = Duration.seconds(4)
  /// How long Redis may take to answer at first.
  private static let patience = Duration.seconds(5)
  /// News that may wait to be published.
  private static let mostNews = 2000
  private static let shortestPause = Duration.milliseconds(250)
  private static let longestPause = Duration.seconds(5)

  private let address: ClusterAddress
  private let name: ServerName
  private let say: @Sendable (String) -> Void
  private let state = Mutex(State())

  private struct State {
    var task: Task<Void, any Error>?
    /// What is to be published; while there is a Redis to publish it.
    var feed: AsyncStream<String>.Continuation?
    var lost = 0
    /// When each server was heard last, this one too.
    var heard: [ServerName: ContinuousClock.Instant] = [:]
  }

  /// A part in the cluster of that Redis; `say` is for whoever runs the server.
  public init?(_ address: ClusterAddress, say: @escaping @Sendable (String) -> Void) {
    let number = String(UInt32.random(in: 0..<(1 << 24)), radix: 16)
    guard let name = ServerName(String(repeating: "0", count: 6 - number.count) + number) else { return nil }
    self.address = address
    self.name = name
    self.say = say
  }

  /// Takes part until `stop`.
  public func start(for hub: ChatHub, on worker: Worker, in runtime: Runtime) {
    let task = runtime.spawn(on: worker) { try await self.stayConnected(for: hub, on: worker) }
    state.withLock { $0.task = task }
  }

  /// Publishes what is waiting, and takes part no more.
  public func stop() async {
    let (task, feed) = state.withLock { ($0.task, $0.feed) }
    if let feed {
      feed.finish()
      try? await withTimeout(Self.beat) { _ = await task?.result }
    }
    task?.cancel()
    _ = await task?.result
  }

  /// Tells the other servers; without waiting. While there is no Redis nobody hears it.
  public func publish(_ news: ChatNews) {
    let line = news.line(from: name)
    state.withLock { state in
      if case .dropped? = state.feed?.yield(line) { state.lost += 1 }
    }
  }
}

// MARK: - Staying connected

extension ChatCluster {
  private func stayConnected(for hub: ChatHub, on worker: Worker) async throws {
    var pause = Self.shortestPause
    while true {
      var wasReached = false
      do {
        let (ear, mouth) = try await withTimeout(Self.patience) { try await self.connect(on: worker) }
        wasReached = true
        return try await take(part: hub, hearing: ear, speaking: mouth)
      } catch {
        state.withLock { $0.feed = nil }
        if wasReached { await hub.handle(.reach(.none)) }
        try Task.checkCancellation()
        pause = wasReached ? Self.shortestPause : pause
        say("! \(address): \(error); again in \(pause)")
      }
      try await sleep(for: pause)
      pause = min(pause * 2, Self.longestPause)
    }
  }

  private func connect(on worker: Worker) async throws -> (ear: RedisConnection, mouth: RedisConnection) {
    var problem: any Error = RedisError("\(address.host) has no address")
    for candidate in try await resolve(address.host, port: address.port) {
      do {
        let ear = try await open(candidate, on: worker)
        let mouth = try await open(candidate, on: worker)
        try await ear.command("SUBSCRIBE", Self.channel)
        return (ear, mouth)
      } catch {
        problem = error
      }
    }
    throw problem
  }

  private func open(_ candidate: SocketAddress, on worker: Worker) async throws -> RedisConnection {
    let connection = try RedisConnection(to: candidate.host, port: address.port, on: worker)
    if let password = address.password { try await connection.command("AUTH", password) }
    guard try await connection.command("PING") == .text("PONG") else {
      throw RedisError("it does not answer as a Redis does")
    }
    return connection
  }

  /// Returns when `stop` ends it and all is published; throws when the connection ends.
  private func take(part hub: ChatHub, hearing ear: RedisConnection, speaking mouth: RedisConnection)
    async throws
  {
    let (lines, feed) = AsyncStream.makeStream(
      of: String.self, bufferingPolicy: .bufferingOldest(Self.mostNews))
    state.withLock { state in
      state.feed = feed
      state.heard = [name: .now]
    }
    say("* \(address): connected as \(name)")
    await hub.handle(.reach(.all))
    try await withThrowingTaskGroup(of: Void.self) { parts in
      parts.addTask { try await self.speak(lines, through: mouth) }
      parts.addTask { try await self.hear(from: ear, for: hub) }
      parts.addTask { try await self.keepBeat(for: hub) }
      try await parts.next()
      parts.cancelAll()
    }
  }
}

// MARK: - Speaking and hearing

extension ChatCluster {
  private func speak(_ lines: AsyncStream<String>, through mouth: RedisConnection) async throws {
    for await line in lines { try await mouth.command("PUBLISH", Self.channel, line) }
    try Task.checkCancellation()
  }

  private func hear(from ear: RedisConnection, for hub: ChatHub) async throws {
    while true {
      guard let (server, news) = ChatNews.read(try await ear.message()) else {
        say("! \(address): somebody published what is no news")
        continue
      }
      state.withLock { $0.heard[server] = news == .goodbye ? nil : .now }
      if server != name { await hub.handle(.news(news, from: server)) }
    }
  }

  private func keepBeat(for hub: ChatHub) async throws {
    while true {
      publish(.alive)
      try await sleep(for: Self.beat)
      let limit = ContinuousClock.now - Self.silence
      let (silent, lost) = state.withLock { state in
        let silent = state.heard.filter { $0.value < limit }.map(\.key)
        for server in silent { state.heard[server] = nil }
        defer { state.lost = 0 }
        return (silent, state.lost)
      }
      if lost > 0 { say("! \(address): too slow: \(lost) pieces of news were not published") }
      if silent.contains(name) { throw RedisError("it does not pass on what is published") }
      for server in silent { await hub.handle(.reach(.lost(server))) }
    }
  }
}

extension SocketAddress {
  /// The address without its port, and without the brackets of IPv6.
  fileprivate var host: String {
    let host = description.split(separator: ":", omittingEmptySubsequences: false).dropLast().joined(
      separator: ":")
    return host.hasPrefix("[") ? String(host.dropFirst().dropLast()) : host
  }
}
