// SPDX-License-Identifier: Apache-2.0
// What the commands do, and to whom it shows.

import ChatCore
import Testing

@Suite struct `Room commands` {
  @Test func `changing rooms is announced in both`() {
    var stage = Stage()
    stage.enter(a, as: "ann")
    stage.enter(b, as: "bob")
    stage.enter(c, as: "cat", room: "swift")
    stage.type("/join swift", b)
    #expect(stage.heard(a) == ["* bob has left for swift"])
    #expect(stage.heard(c) == ["* bob has joined"])
    #expect(stage.heard(b) == ["* you are in swift, with 1 other"])
  }

  @Test func `a room is made by its first member, who decides the spelling`() {
    var stage = Stage()
    stage.enter(a, as: "ann", room: "Swift")
    stage.enter(b, as: "bob")
    stage.type("/join sWIFT", b)
    #expect(stage.heard(b) == ["* you are in Swift, with 1 other"])
  }

  @Test func `a room is gone with its last member, the lobby stays`() {
    var stage = Stage()
    stage.enter(a, as: "ann", room: "swift")
    stage.enter(b, as: "bob", room: "zoo")
    stage.type("/rooms", b)
    #expect(stage.heard(b) == ["* rooms: lobby (0), swift (1), zoo (1)"])
    stage.on(.disconnected(a))
    stage.type("/rooms", b)
    #expect(stage.heard(b) == ["* rooms: lobby (0), zoo (1)"])
  }

  @Test func `who is in a room already is told so`() {
    var stage = Stage()
    stage.enter(a, as: "ann")
    stage.type("/join Lobby", a)
    #expect(stage.heard(a) == ["! you are in lobby already"])
  }

  @Test(arguments: ["/join two words", "/join /x", "/join \u{1B}"])
  func `a room's name follows the rule for names`(line: String) {
    var stage = Stage()
    stage.enter(a, as: "ann")
    stage.type(line, a)
    #expect(stage.heard(a) == ["! \(ChatName.rule)"])
  }

  @Test func `who lists the people of this room in the order they came`() {
    var stage = Stage()
    stage.enter(c, as: "cat")
    stage.enter(a, as: "ann")
    stage.enter(b, as: "bob", room: "swift")
    stage.type("/who", a)
    #expect(stage.heard(a) == ["* in lobby: cat, ann"])
  }

  @Test func `a long list is cut and says by how much`() {
    var stage = Stage(maximumClients: 100)
    for number in 1...53 { stage.enter(ClientId(number), as: "p\(number)") }
    stage.type("/who", a)
    let list = stage.heard(a)
    #expect(list.count == 1)
    #expect(list.first?.hasSuffix("p49, p50 and 3 more") == true)
  }
}

@Suite struct `Private messages` {
  @Test func `both sides see it and nobody else does`() {
    var stage = Stage()
    stage.enter(a, as: "ann")
    stage.enter(b, as: "Bob", room: "swift")
    stage.enter(c, as: "cat")
    stage.type("/msg bob  see you there ", a)
    #expect(stage.heard(a) == ["<ann to Bob> see you there"])
    #expect(stage.heard(b) == ["<ann to Bob> see you there"])
    #expect(stage.heard(c).isEmpty)
  }

  @Test func `a message to oneself comes once`() {
    var stage = Stage()
    stage.enter(a, as: "ann")
    stage.type("/msg ann note", a)
    #expect(stage.heard(a) == ["<ann to ann> note"])
  }

  @Test func `nobody of that name is answered`() {
    var stage = Stage()
    stage.enter(a, as: "ann")
    stage.on(.connected(b))
    stage.type("/msg bob hi", a)
    #expect(stage.heard(a) == ["! nobody here is called bob"])
  }
}

@Suite struct `Other commands` {
  @Test func `help lists every command`() {
    var stage = Stage()
    stage.enter(a, as: "ann")
    stage.type("/help", a)
    let help = stage.heard(a).joined()
    for word in ["/join", "/rooms", "/who", "/msg", "/quit"] { #expect(help.contains(word)) }
  }

  @Test func `an unknown command is answered with one line and the client stays`() {
    var stage = Stage()
    stage.enter(a, as: "ann")
    stage.type("/dance wildly", a)
    #expect(stage.heard(a) == ["! there is no command /dance: /help lists them"])
    #expect(stage.closed.isEmpty)
  }

  @Test func `an unknown command is quoted without what could steer a terminal, and short`() {
    var stage = Stage()
    stage.enter(a, as: "ann")
    stage.type("/\u{1B}" + String(repeating: "x", count: 100), a)
    let quoted = "/\u{FFFD}" + String(repeating: "x", count: 18)
    #expect(stage.heard(a) == ["! there is no command \(quoted): /help lists them"])
  }

  @Test func `a command without its arguments says how it is used`() {
    var stage = Stage()
    stage.enter(a, as: "ann")
    stage.type("/join", a)
    stage.type("/msg bob", a)
    #expect(
      stage.heard(a) == ["! use it like this: /join ROOM", "! use it like this: /msg NAME TEXT"])
  }
}
