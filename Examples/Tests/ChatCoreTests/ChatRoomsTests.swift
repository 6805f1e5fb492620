// SPDX-License-Identifier: Apache-2.0
// The rules of the chat: coming, talking, going. No sockets, no tasks.

import ChatCore
import Testing

/// A chat under test that remembers what each client was told.
struct Stage {
  var rooms: ChatRooms
  private(set) var told: [ClientId: [String]] = [:]
  private(set) var closed: [ClientId] = []
  /// What other servers were told.
  var published: [ChatNews] = []

  init(maximumClients: Int = 10, isClustered: Bool = false) {
    rooms = ChatRooms(maximumClients: maximumClients, isClustered: isClustered)
  }

  /// Hands an event in and notes what comes out.
  mutating func on(_ event: ChatEvent) {
    for action in rooms.handle(event) {
      switch action {
      case .send(let line, let client):
        #expect(!closed.contains(client), "nothing may follow a close")
        told[client, default: []].append(line)
      case .close(let client, let farewell):
        closed.append(client)
        if let farewell { told[client, default: []].append(farewell) }
      case .publish(let news): published.append(news)
      }
    }
  }

  /// Brings somebody in and forgets what was said meanwhile.
  mutating func enter(_ client: ClientId, as name: String, room: String? = nil) {
    on(.connected(client))
    on(.line(name, from: client))
    if let room { on(.line("/join \(room)", from: client)) }
    (told, published) = ([:], [])
  }

  /// Types a line.
  mutating func type(_ line: String, _ client: ClientId) {
    on(.line(line, from: client))
  }

  /// What the client was told since the last call.
  mutating func heard(_ client: ClientId) -> [String] {
    told.removeValue(forKey: client) ?? []
  }
}

let a = ClientId(1)
let b = ClientId(2)
let c = ClientId(3)

@Suite struct `Coming in` {
  @Test func `a client is greeted and asked for a name`() {
    var stage = Stage()
    stage.on(.connected(a))
    #expect(stage.heard(a) == ["* welcome! what is your name?"])
  }

  @Test func `the first line is the name, and everybody starts in the lobby`() {
    var stage = Stage()
    stage.on(.connected(a))
    stage.on(.line("  ann ", from: a))
    #expect(stage.heard(a).last == "* hello ann! /help lists the commands; you are in lobby, alone")
  }

  @Test func `those in the room hear who comes, and who comes hears how many they are`() {
    var stage = Stage()
    stage.enter(a, as: "ann")
    stage.on(.connected(b))
    stage.on(.line("bob", from: b))
    #expect(stage.heard(a) == ["* bob has joined"])
    #expect(stage.heard(b).last?.hasSuffix("you are in lobby, with 1 other") == true)
  }

  @Test func `nothing is said to somebody who has no name yet`() {
    var stage = Stage()
    stage.enter(a, as: "ann")
    stage.on(.connected(b))
    _ = stage.heard(b)
    stage.type("hello?", a)
    #expect(stage.heard(b).isEmpty)
  }

  @Test(arguments: ["ann", "Ann", "ANN"])
  func `a name in use is answered and the client may choose another`(name: String) {
    var stage = Stage()
    stage.enter(a, as: "ann")
    stage.on(.connected(b))
    _ = stage.heard(b)
    stage.type(name, b)
    #expect(stage.heard(b) == ["! the name \(name) is in use: choose another"])
    stage.type("bob", b)
    #expect(stage.heard(b).first?.hasPrefix("* hello bob!") == true)
  }

  @Test(arguments: ["two words", "/who", "tab\there", "esc\u{1B}[2J", String(repeating: "x", count: 21)])
  func `a name that breaks the rule is answered with the rule`(name: String) {
    var stage = Stage()
    stage.on(.connected(a))
    _ = stage.heard(a)
    stage.type(name, a)
    #expect(stage.heard(a) == ["! \(ChatName.rule): choose another"])
    #expect(stage.closed.isEmpty)
  }

  @Test func `an empty line is no name and no news`() {
    var stage = Stage()
    stage.on(.connected(a))
    _ = stage.heard(a)
    stage.type("   ", a)
    #expect(stage.heard(a).isEmpty)
  }

  @Test func `who does not want to say a name may quit`() {
    var stage = Stage()
    stage.on(.connected(a))
    stage.type("/quit", a)
    #expect(stage.heard(a).last == "* goodbye!")
    #expect(stage.closed == [a])
  }

  @Test func `a client too many is told so in one line and closed`() {
    var stage = Stage(maximumClients: 1)
    stage.enter(a, as: "ann")
    stage.on(.connected(b))
    #expect(stage.heard(b) == ["! server is full: it takes 1 client"])
    #expect(stage.closed == [b])
    stage.type("bob", b)
    stage.on(.disconnected(b))
    #expect(stage.heard(a).isEmpty)
  }

  @Test func `clients without a name count`() {
    var stage = Stage(maximumClients: 2)
    stage.enter(a, as: "ann")
    stage.on(.connected(b))
    stage.on(.connected(c))
    #expect(stage.heard(c) == ["! server is full: it takes 2 clients"])
  }

  @Test func `a place becomes free when somebody leaves`() {
    var stage = Stage(maximumClients: 1)
    stage.enter(a, as: "ann")
    stage.on(.disconnected(a))
    stage.on(.connected(b))
    #expect(stage.heard(b) == ["* welcome! what is your name?"])
  }
}

@Suite struct Talking {
  @Test func `a line reaches everybody in the room, its author too`() {
    var stage = Stage()
    stage.enter(a, as: "ann")
    stage.enter(b, as: "bob")
    stage.enter(c, as: "cat")
    stage.type("hello", a)
    for client in [a, b, c] { #expect(stage.heard(client) == ["<ann> hello"]) }
  }

  @Test func `a line stays in its room`() {
    var stage = Stage()
    stage.enter(a, as: "ann")
    stage.enter(b, as: "bob", room: "swift")
    stage.type("hello", a)
    #expect(stage.heard(b).isEmpty)
  }

  @Test func `what could steer a terminal is replaced`() {
    var stage = Stage()
    stage.enter(a, as: "ann")
    stage.enter(b, as: "bob")
    stage.type("\u{1B}[2Jred\u{7}\u{9B}1m\ttab", a)
    #expect(stage.heard(b) == ["<ann> \u{FFFD}[2Jred\u{FFFD}\u{FFFD}1m tab"])
    stage.type("/msg bob \u{1B}c", a)
    #expect(stage.heard(b) == ["<ann to bob> \u{FFFD}c"])
  }

  @Test func `empty lines are not told`() {
    var stage = Stage()
    stage.enter(a, as: "ann")
    stage.type("", a)
    stage.type("  ", a)
    #expect(stage.heard(a).isEmpty)
  }

  @Test(arguments: [(BadLine.tooLong, "4096 bytes"), (.notUtf8, "UTF-8")])
  func `a bad line is answered with one line, named or not`(reason: BadLine, word: String) {
    var stage = Stage()
    stage.on(.connected(a))
    _ = stage.heard(a)
    stage.on(.badLine(reason, from: a))
    let answer = stage.heard(a)
    #expect(answer.count == 1)
    #expect(answer.first?.contains(word) == true)
    stage.enter(a, as: "ann")
    stage.on(.badLine(reason, from: a))
    #expect(stage.heard(a) == answer)
    #expect(stage.closed.isEmpty)
  }
}

@Suite struct Going {
  enum Way: CaseIterable { case quit, disconnect, fallBehind }

  @Test(arguments: Way.allCases)
  func `the room hears who goes, once, and the name is free`(way: Way) {
    var stage = Stage()
    stage.enter(a, as: "ann")
    stage.enter(b, as: "bob")
    switch way {
    case .quit: stage.type("/quit", b)
    case .disconnect: stage.on(.disconnected(b))
    case .fallBehind: stage.on(.fellBehind(b))
    }
    stage.on(.disconnected(b))
    let news = way == .fallBehind ? "* bob was dropped: too slow to read" : "* bob has left"
    #expect(stage.heard(a) == [news])
    #expect(stage.closed == [b])
    stage.enter(c, as: "bob")
    stage.type("it is me", c)
    #expect(stage.heard(a) == ["<bob> it is me"])
  }

  @Test func `who was dropped is told why`() {
    var stage = Stage()
    stage.enter(a, as: "ann")
    stage.on(.fellBehind(a))
    #expect(stage.heard(a) == ["* you were dropped: too slow to read"])
  }

  @Test func `nobody hears of somebody who goes without having said a name`() {
    var stage = Stage()
    stage.enter(a, as: "ann")
    stage.on(.connected(b))
    stage.on(.disconnected(b))
    #expect(stage.heard(a).isEmpty)
  }

  @Test func `what comes from a client that has gone is ignored`() {
    var stage = Stage()
    stage.enter(a, as: "ann")
    stage.enter(b, as: "bob")
    stage.type("/quit", b)
    _ = stage.heard(a)
    stage.type("still here", b)
    stage.on(.badLine(.tooLong, from: b))
    stage.on(.fellBehind(b))
    #expect(stage.heard(a).isEmpty)
    #expect(stage.heard(b) == ["* goodbye!"])
  }

  @Test func `when the server goes down everybody is told and closed, named or not`() {
    var stage = Stage()
    stage.enter(a, as: "ann")
    stage.enter(b, as: "bob", room: "swift")
    stage.on(.connected(c))
    _ = stage.heard(c)
    stage.on(.goingDown)
    for client in [a, b, c] { #expect(stage.heard(client) == ["* server is going down"]) }
    #expect(stage.closed == [a, b, c])
  }

  @Test func `who comes while the server goes down is told so`() {
    var stage = Stage()
    stage.on(.goingDown)
    stage.on(.connected(a))
    #expect(stage.heard(a) == ["* server is going down"])
    #expect(stage.closed == [a])
  }
}
