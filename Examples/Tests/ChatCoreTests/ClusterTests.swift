// SPDX-License-Identifier: Apache-2.0
// The rules of a chat that several servers share, and of telling programs who is there.

import ChatCore
import Testing

private func name(_ text: String) throws -> ChatName { try #require(ChatName(text)) }

@Suite struct `Who is there, for programs` {
  @Test func `whoever watches is told who is there, who comes and who goes, in every room`() {
    var stage = Stage()
    stage.enter(a, as: "ann")
    stage.enter(b, as: "bob")
    stage.type("/watch", a)
    #expect(stage.heard(a) == ["= lobby", "+ ann bob"])
    stage.type("/join swift", b)
    #expect(stage.heard(a) == ["* bob has left for swift", "- bob"])
    stage.type("/join swift", a)
    #expect(stage.heard(a) == ["* you are in swift, with 1 other", "= swift", "+ bob ann"])
    stage.on(.disconnected(b))
    #expect(stage.heard(a) == ["* bob has left", "- bob"])
  }

  @Test func `nobody else is told`() {
    var stage = Stage()
    stage.enter(a, as: "ann")
    stage.enter(b, as: "bob")
    #expect(stage.heard(a) == [])
    stage.type("/quit", b)
    #expect(stage.heard(a) == ["* bob has left"])
  }

  @Test func `many are told in several lines`() {
    var stage = Stage(maximumClients: 200)
    for number in 1...120 { stage.enter(ClientId(number), as: "p\(number)") }
    stage.type("/watch", a)
    let lines = stage.heard(a)
    #expect(lines.count == 4)
    #expect(lines.map { $0.split(separator: " ").count } == [2, 51, 51, 21])
  }
}

@Suite struct `A chat of several servers` {
  private let other = ChatName("beef01") ?? .lobby

  private func clustered() -> Stage { Stage(isClustered: true) }

  @Test func `what happens here is published, whispers among us are not`() throws {
    var stage = clustered()
    stage.on(.connected(a))
    stage.type("ann", a)
    #expect(stage.published == [.joined(try name("ann"), room: .lobby)])
    stage.enter(b, as: "bob")
    stage.type("hi\u{1B}", a)
    stage.type("/msg bob psst", a)
    stage.type("/join swift", a)
    stage.type("/quit", a)
    #expect(
      stage.published == [
        .said("hi\u{FFFD}", by: try name("ann"), room: .lobby),
        .left(try name("ann"), room: .lobby, how: "has left for swift"),
        .joined(try name("ann"), room: try name("swift")),
        .left(try name("ann"), room: try name("swift"), how: "has left"),
      ])
  }

  @Test func `a chat of its own publishes nothing`() {
    var stage = Stage()
    stage.enter(a, as: "ann")
    stage.type("hi", a)
    stage.type("/quit", a)
    #expect(stage.published.isEmpty)
  }

  @Test func `those at other servers are in the lists, the counts and the talk`() throws {
    var stage = clustered()
    stage.enter(a, as: "ann")
    stage.on(.news(.joined(try name("eve"), room: .lobby), from: other))
    stage.on(.news(.present(try name("zoe"), room: try name("Swift")), from: other))
    stage.on(.news(.said("hello", by: try name("eve"), room: .lobby), from: other))
    #expect(stage.heard(a) == ["* eve has joined", "<eve> hello"])
    stage.type("/who", a)
    stage.type("/rooms", a)
    stage.type("/join swift", a)
    #expect(
      stage.heard(a) == [
        "* in lobby: ann, eve", "* rooms: lobby (2), Swift (1)", "* you are in Swift, with 1 other",
      ])
  }

  @Test func `private messages cross, both ways`() throws {
    var stage = clustered()
    stage.enter(a, as: "ann")
    stage.on(.news(.present(try name("Eve"), room: .lobby), from: other))
    stage.type("/msg eve psst", a)
    #expect(stage.heard(a) == ["<ann to Eve> psst"])
    #expect(stage.published.last == .whispered("psst", by: try name("ann"), to: try name("eve")))
    stage.on(.news(.whispered("what?", by: try name("Eve"), to: try name("ann")), from: other))
    #expect(stage.heard(a) == ["<Eve to ann> what?"])
  }

  @Test func `a name in use elsewhere is refused, and two who have one name are told apart`() throws {
    var stage = clustered()
    stage.on(.news(.present(try name("eve"), room: .lobby), from: other))
    stage.on(.connected(a))
    stage.type("EVE", a)
    #expect(stage.heard(a).last == "! the name EVE is in use: choose another")
    stage.type("ann", a)
    _ = stage.heard(a)
    stage.on(.news(.joined(try name("Ann"), room: .lobby), from: other))
    stage.on(.news(.said("it is me", by: try name("Ann"), room: .lobby), from: other))
    #expect(stage.heard(a) == ["* Ann@beef01 has joined", "<Ann@beef01> it is me"])
  }

  @Test func `a server that is new, or heard for the first time, is told who is here and asked`() throws {
    var stage = clustered()
    stage.enter(a, as: "ann")
    stage.on(.news(.hello, from: other))
    #expect(stage.published == [.present(try name("ann"), room: .lobby)])
    stage.published = []
    stage.on(.news(.alive, from: try name("cafe02")))
    #expect(stage.published == [.hello])
    stage.on(.news(.alive, from: try name("cafe02")))
    #expect(stage.published == [.hello])
  }

  @Test(arguments: [ClusterReach.lost(ChatName("beef01") ?? .lobby), nil])
  func `a server that is gone takes its people with it`(reach: ClusterReach?) throws {
    var stage = clustered()
    stage.enter(a, as: "ann")
    stage.type("/watch", a)
    stage.on(.news(.present(try name("eve"), room: .lobby), from: other))
    stage.on(.news(.present(try name("kim"), room: .lobby), from: try name("cafe02")))
    _ = stage.heard(a)
    stage.on(reach.map { .reach($0) } ?? .news(.goodbye, from: other))
    let heard = stage.heard(a)
    #expect(heard.count == 2 && heard[0].hasPrefix("* eve has left: the server ") && heard[1] == "- eve")
    stage.type("/who", a)
    #expect(stage.heard(a) == ["* in lobby: ann, kim"])
  }

  @Test func `when nobody can be reached everybody is told, and when all can who is here is told`() throws {
    var stage = clustered()
    stage.enter(a, as: "ann")
    stage.on(.news(.present(try name("eve"), room: .lobby), from: other))
    stage.on(.reach(.none))
    #expect(
      stage.heard(a) == ["! the other servers can't be reached: only people of this one hear you"])
    stage.type("/who", a)
    #expect(stage.heard(a) == ["* in lobby: ann"])
    stage.published = []
    stage.on(.reach(.all))
    #expect(stage.heard(a) == ["* the other servers can be reached"])
    #expect(stage.published == [.hello, .present(try name("ann"), room: .lobby)])
  }

  @Test func `another server can't fill our memory`() throws {
    var stage = clustered()
    for number in 1...10_500 {
      stage.on(.news(.present(try name("p\(number)"), room: .lobby), from: other))
    }
    stage.enter(a, as: "ann")
    stage.type("/rooms", a)
    #expect(stage.heard(a) == ["* rooms: lobby (10001)"])
  }
}

@Suite struct `News as lines` {
  @Test func `all kinds come back as they went`() throws {
    let (ann, swift) = (try name("ann"), try name("Swift"))
    let all: [ChatNews] = [
      .said("a\u{20}b", by: ann, room: swift), .whispered("", by: ann, to: ann), .joined(ann, room: swift),
      .left(ann, room: swift, how: "has left"), .hello, .present(ann, room: swift), .alive, .goodbye,
    ]
    for news in all {
      let read = try #require(ChatNews.read(news.line(from: try name("beef01"))))
      #expect(read.news == news)
      #expect(read.server == (try name("beef01")))
    }
  }

  @Test(arguments: [
    "", "\t", "s", "s\t", "s\tdance", "s\tsaid", "s\tsaid\tann", "s\tsaid\tann\tlobby",
    "s\tjoined\ta b\tlobby",
    "s\tjoined\tann\tlobby\tmore", "s\thello\tann", "a b\thello", "s\tsaid\t\tlobby\thi",
    "s\tsaid\tann\tlobby\t" + String(repeating: "x", count: 20_000),
  ])
  func `what is no news is refused`(line: String) {
    #expect(ChatNews.read(line) == nil)
  }
}
