// SPDX-License-Identifier: Apache-2.0
// The chat itself: who is where, and who is told what. A value without sockets, tasks or time, so that every
// rule can be tested by handing it events and comparing the actions that come back.

/// Everybody in the chat.
///
/// Lines for people begin with `*` when the server tells something, with `!` when it could not do what was
/// asked, and with `<name>` when somebody talks.
public struct ChatRooms: Sendable {
  struct Person {
    let name: ChatName
    var room: ChatName
    /// Is told who comes and goes in a form for programs, too.
    var watches = false
  }

  private let maximumClients: Int
  /// There are other servers: what happens here is news for them.
  let isClustered: Bool
  private var isGoingDown = false
  private var unnamed: Set<ClientId> = []
  private(set) var people: [ClientId: Person] = [:]
  private(set) var ids: [ChatName: ClientId] = [:]
  /// Who is in each room, in the order in which they came. The lobby is always there, other rooms while used.
  private(set) var members: [ChatName: [ClientId]] = [.lobby: []]
  /// Those who are at other servers.
  var distant = DistantPeople()

  /// An empty chat; one of several that tell each other what happens, if `isClustered`.
  public init(maximumClients: Int, isClustered: Bool = false) {
    self.maximumClients = maximumClients
    self.isClustered = isClustered
  }

  /// Takes note of what happened, and tells what has to be done.
  public mutating func handle(_ event: ChatEvent) -> [ChatAction] {
    switch event {
    case .connected(let client): welcome(client)
    case .line(let line, let client): understand(line, from: client)
    case .badLine(let reason, let client): isHere(client) ? [.send(reason.complaint, to: client)] : []
    case .disconnected(let client): leave(client, "has left", saying: nil)
    case .fellBehind(let client):
      leave(client, "was dropped: too slow to read", saying: "* you were dropped: too slow to read")
    case .goingDown: goDown()
    case .news(let news, let server): hear(news, from: server)
    case .reach(let reach): change(to: reach)
    }
  }
}

// MARK: - Coming and going

extension ChatRooms {
  private func isHere(_ client: ClientId) -> Bool {
    people[client] != nil || unnamed.contains(client)
  }

  private mutating func welcome(_ client: ClientId) -> [ChatAction] {
    if isGoingDown { return [.close(client, saying: "* server is going down")] }
    guard people.count + unnamed.count < maximumClients else {
      return [.close(client, saying: "! server is full: it takes \(maximumClients.things("client"))")]
    }
    unnamed.insert(client)
    return [.send("* welcome! what is your name?", to: client)]
  }

  private mutating func understand(_ line: String, from client: ClientId) -> [ChatAction] {
    let command = ChatCommand(line)
    if let person = people[client] { return obey(command, from: client, person) }
    guard unnamed.contains(client) else { return [] }
    return switch command {
    case .quit: quit(client)
    case .nothing: []
    default: introduce(client, as: line.trimmed)
    }
  }

  private mutating func introduce(_ client: ClientId, as text: String) -> [ChatAction] {
    guard let name = ChatName(text) else {
      return [.send("! \(ChatName.rule): choose another", to: client)]
    }
    guard ids[name] == nil, !distant.contains(name) else {
      return [.send("! the name \(name) is in use: choose another", to: client)]
    }
    unnamed.remove(client)
    people[client] = Person(name: name, room: .lobby)
    ids[name] = client
    return enter(.lobby, client, name, saying: "hello \(name)! /help lists the commands; ")
  }

  private mutating func enter(
    _ room: ChatName, _ client: ClientId, _ name: ChatName, saying greeting: String = ""
  ) -> [ChatAction] {
    let others = members[room, default: []].count + distant.people(in: room).count
    let announcement = announce("\(name) has joined", in: room) + note("+ \(name)", in: room)
    members[room, default: []].append(client)
    let company = others == 0 ? "alone" : "with \(others.things("other"))"
    return publish(.joined(name, room: room)) + announcement
      + [.send("* \(greeting)you are in \(room), \(company)", to: client)] + roster(for: client)
  }

  private mutating func leaveRoom(_ client: ClientId, _ person: Person, _ how: String) -> [ChatAction] {
    members[person.room]?.removeAll { $0 == client }
    if person.room != .lobby, members[person.room]?.isEmpty == true { members[person.room] = nil }
    return publish(.left(person.name, room: person.room, how: how))
      + announce("\(person.name) \(how)", in: person.room) + note("- \(person.name)", in: person.room)
  }

  private mutating func leave(_ client: ClientId, _ how: String, saying farewell: String?) -> [ChatAction] {
    if unnamed.remove(client) != nil { return [.close(client, saying: farewell)] }
    guard let person = people.removeValue(forKey: client) else { return [] }
    ids[person.name] = nil
    return [.close(client, saying: farewell)] + leaveRoom(client, person, how)
  }

  private mutating func quit(_ client: ClientId) -> [ChatAction] {
    leave(client, "has left", saying: "* goodbye!")
  }

  private mutating func goDown() -> [ChatAction] {
    let everybody = unnamed.union(people.keys).sorted()
    self = ChatRooms(maximumClients: maximumClients, isClustered: isClustered)
    isGoingDown = true
    return publish(.goodbye) + everybody.map { .close($0, saying: "* server is going down") }
  }
}

// MARK: - Commands

extension ChatRooms {
  private mutating func obey(_ command: ChatCommand, from client: ClientId, _ person: Person) -> [ChatAction]
  {
    switch command {
    case .say(let text): say(text.withoutControls, person)
    case .join(let room): change(to: room, client, person)
    case .rooms: [.send("* rooms: \(roomList)", to: client)]
    case .who: [.send("* in \(person.room): \(peopleList(in: person.room))", to: client)]
    case .message(let name, let text): whisper(text.withoutControls, to: name, from: client, person)
    case .watch: watch(client)
    case .help: ChatCommand.helpLines.map { .send("* \($0)", to: client) }
    case .quit: quit(client)
    case .nothing: []
    case .incomplete(let usage): [.send("! use it like this: \(usage)", to: client)]
    case .unknown(let word):
      [.send("! there is no command \(word.prefix(20).withoutControls): /help lists them", to: client)]
    }
  }

  private mutating func change(to text: String, _ client: ClientId, _ person: Person) -> [ChatAction] {
    guard let name = ChatName(text) else { return [.send("! \(ChatName.rule)", to: client)] }
    // The first to come decides how the room's name is spelled.
    let room = members.index(forKey: name).map { members.keys[$0] } ?? distant.spelling(of: name)
    if room == person.room { return [.send("! you are in \(room) already", to: client)] }
    people[client]?.room = room
    return leaveRoom(client, person, "has left for \(room)") + enter(room, client, person.name)
  }

  private func say(_ text: String, _ person: Person) -> [ChatAction] {
    publish(.said(text, by: person.name, room: person.room))
      + tell("<\(person.name)> \(text)", in: person.room)
  }

  private func whisper(_ text: String, to spelling: String, from client: ClientId, _ person: Person)
    -> [ChatAction]
  {
    guard let name = ChatName(spelling), let other = ids[name], let recipient = people[other] else {
      if let name = ChatName(spelling), distant.contains(name) {
        return [.publish(.whispered(text, by: person.name, to: name))]
          + [.send("<\(person.name) to \(distant.spelling(ofPerson: name))> \(text)", to: client)]
      }
      return [.send("! nobody here is called \(spelling.prefix(20).withoutControls)", to: client)]
    }
    let line = "<\(person.name) to \(recipient.name)> \(text)"
    return (other == client ? [client] : [other, client]).map { .send(line, to: $0) }
  }

  /// The lobby, then the other rooms by name.
  private var roomList: String {
    let others = Set(members.keys).union(distant.rooms).filter { $0 != .lobby }
    return list([.lobby] + others.sorted { $0.spelling < $1.spelling }) { "\($0) (\(names(in: $0).count))" }
  }

  private func peopleList(in room: ChatName) -> String { list(names(in: room)) { $0 } }

  /// Those of this server in the order in which they came, then those of others by name.
  func names(in room: ChatName) -> [String] {
    members[room, default: []].compactMap { people[$0]?.name.spelling }
      + distant.people(in: room).map { shown($0.name, of: $0.server) }
  }

  /// One line, however many there are.
  private func list<Item>(_ items: [Item], as text: (Item) -> String) -> String {
    let shown = items.prefix(ChatLimits.listedNames).map(text).joined(separator: ", ")
    let more = items.count - ChatLimits.listedNames
    return more > 0 ? "\(shown) and \(more) more" : shown
  }
}

// MARK: - Who is there, for programs

extension ChatRooms {
  private mutating func watch(_ client: ClientId) -> [ChatAction] {
    people[client]?.watches = true
    return roster(for: client)
  }

  /// `= ROOM`, and `+ NAME …` for all who are in it, the client too; nothing for those who do not watch.
  private func roster(for client: ClientId) -> [ChatAction] {
    guard let person = people[client], person.watches else { return [] }
    let names = names(in: person.room)
    let lines = stride(from: 0, to: names.count, by: ChatLimits.listedNames).map { start in
      "+ " + names[start...].prefix(ChatLimits.listedNames).joined(separator: " ")
    }
    return (["= \(person.room)"] + lines).map { .send($0, to: client) }
  }

  /// Tells those who watch a room.
  func note(_ line: String, in room: ChatName) -> [ChatAction] {
    members[room, default: []].filter { people[$0]?.watches == true }.map { .send(line, to: $0) }
  }
}

// MARK: - Telling a room

extension ChatRooms {
  func tell(_ line: String, in room: ChatName) -> [ChatAction] {
    members[room, default: []].map { .send(line, to: $0) }
  }

  func announce(_ news: String, in room: ChatName) -> [ChatAction] {
    tell("* \(news)", in: room)
  }
}

extension Int {
  /// "1 client", "2 clients".
  fileprivate func things(_ name: String) -> String { "\(self) \(name)\(self == 1 ? "" : "s")" }
}
