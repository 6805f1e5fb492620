// SPDX-License-Identifier: Apache-2.0
// Those who are in the chat at other servers of the cluster, as far as they have told.

/// Who is where at which other server.
struct DistantPeople: Sendable {
  /// Over this nobody is noted any more: another server can't fill our memory.
  private static let most = 10_000

  private var byServer: [ServerName: [ChatName: ChatName]] = [:]

  var rooms: Set<ChatName> { Set(byServer.values.flatMap(\.values)) }

  func knows(_ server: ServerName) -> Bool { byServer[server] != nil }

  func contains(_ name: ChatName) -> Bool { byServer.values.contains { $0[name] != nil } }

  /// By name.
  func people(in room: ChatName) -> [(name: ChatName, server: ServerName)] {
    byServer.flatMap { server, people in
      people.filter { $0.value == room }.map { ($0.key, server) }
    }.sorted { $0.name.spelling < $1.name.spelling }
  }

  /// How a room is spelled by those who are in it.
  func spelling(of room: ChatName) -> ChatName {
    byServer.values.lazy.compactMap { $0.values.first { $0 == room } }.first ?? room
  }

  /// How a person is spelled.
  func spelling(ofPerson name: ChatName) -> ChatName {
    byServer.values.lazy.compactMap { people in people.index(forKey: name).map { people.keys[$0] } }.first
      ?? name
  }

  mutating func note(_ server: ServerName) { if byServer[server] == nil { byServer[server] = [:] } }

  /// Where that person was before.
  mutating func put(_ name: ChatName, in room: ChatName, at server: ServerName) -> ChatName? {
    guard byServer.values.reduce(0, { $0 + $1.count }) < Self.most else { return nil }
    return byServer[server, default: [:]].updateValue(room, forKey: name)
  }

  /// Where that person was.
  mutating func remove(_ name: ChatName, at server: ServerName) -> ChatName? {
    byServer[server]?.removeValue(forKey: name)
  }

  mutating func forget(_ server: ServerName) { byServer[server] = nil }

  /// By name.
  func people(at server: ServerName) -> [ChatName] {
    byServer[server, default: [:]].keys.sorted { $0.spelling < $1.spelling }
  }

  var servers: [ServerName] { Array(byServer.keys) }
}
