// SPDX-License-Identifier: Apache-2.0
// A chat that several servers share: what each tells the others, and what it makes of what they tell.
//
// Nobody decides for all. A name is refused when it is known to be in use anywhere; two who take the same one at the same moment,
// or while their servers could not reach each other, both keep it, and each sees the other's with its server: ann@8f2a.

extension ChatRooms {
  func publish(_ news: ChatNews) -> [ChatAction] { isClustered ? [.publish(news)] : [] }

  mutating func hear(_ news: ChatNews, from server: ServerName) -> [ChatAction] {
    var actions: [ChatAction] = []
    if !distant.knows(server) {
      // Whoever is heard for the first time may have been there for long.
      if news != .hello, news != .goodbye { actions = [.publish(.hello)] }
      distant.note(server)
    }
    switch news {
    case .said(let text, let name, let room):
      actions += tell("<\(shown(name, of: server))> \(text)", in: room)
    case .whispered(let text, let name, let other):
      if let client = ids[other], let person = people[client] {
        actions.append(.send("<\(shown(name, of: server)) to \(person.name)> \(text)", to: client))
      }
    case .joined(let name, let room):
      actions += put(name, in: room, at: server) + announce("\(shown(name, of: server)) has joined", in: room)
    case .present(let name, let room): actions += put(name, in: room, at: server)
    case .left(let name, _, let how): actions += remove(name, at: server, saying: how)
    case .hello: actions += everybody.map { .publish($0) }
    case .alive: break
    case .goodbye: actions += remove(server, saying: "has left: the server has gone down")
    }
    return actions
  }

  mutating func change(to reach: ClusterReach) -> [ChatAction] {
    switch reach {
    case .all:
      return ([.hello] + everybody).map { .publish($0) } + tellAll("* the other servers can be reached")
    case .lost(let server): return remove(server, saying: "has left: the server is gone")
    case .none:
      let gone = distant.servers.flatMap { remove($0, saying: nil) }
      return gone + tellAll("! the other servers can't be reached: only people of this one hear you")
    }
  }

  /// All who are here, as news.
  private var everybody: [ChatNews] {
    people.values.sorted { $0.name.spelling < $1.name.spelling }.map { .present($0.name, room: $0.room) }
  }

  private func tellAll(_ line: String) -> [ChatAction] {
    people.keys.sorted().map { .send(line, to: $0) }
  }

  private mutating func put(_ name: ChatName, in room: ChatName, at server: ServerName) -> [ChatAction] {
    let before = distant.put(name, in: room, at: server)
    if before == room { return [] }
    let shown = shown(name, of: server)
    return (before.map { note("- \(shown)", in: $0) } ?? []) + note("+ \(shown)", in: room)
  }

  /// Somebody is gone; without a word, where `how` is `nil`.
  private mutating func remove(_ name: ChatName, at server: ServerName, saying how: String?) -> [ChatAction] {
    guard let room = distant.remove(name, at: server) else { return [] }
    let shown = shown(name, of: server)
    return (how.map { announce("\(shown) \($0)", in: room) } ?? []) + note("- \(shown)", in: room)
  }

  private mutating func remove(_ server: ServerName, saying how: String?) -> [ChatAction] {
    let gone = distant.people(at: server).flatMap { remove($0, at: server, saying: how) }
    distant.forget(server)
    return gone
  }

  /// The name as people here see it.
  func shown(_ name: ChatName, of server: ServerName) -> String {
    ids[name] == nil ? name.spelling : "\(name)@\(server)"
  }
}
