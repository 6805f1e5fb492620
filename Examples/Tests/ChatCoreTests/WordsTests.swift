// SPDX-License-Identifier: Apache-2.0
// Names, commands and visible text: what the words mean.

import ChatCore
import Testing

@Suite struct Names {
  @Test(arguments: [
    "a", "ann", "O'Brien", "Zoë", "Zoe\u{308}", "名前", "👋", "x/y", String(repeating: "ü", count: 20),
  ])
  func `visible text of 1 to 20 characters is a name`(text: String) {
    #expect(ChatName(text)?.spelling == text)
  }

  @Test(arguments: [
    "", " ", "a b", "/a", "a\n", "a\r", "\u{0}", "a\u{7F}", "\u{85}", "\u{A0}", "a\u{200B}b", "a\u{202E}b",
    "\u{3164}",
    "\u{2028}", String(repeating: "x", count: 21), "a" + String(repeating: "\u{301}", count: 60),
  ])
  func `everything else is none`(text: String) {
    #expect(ChatName(text) == nil)
  }

  @Test func `case does not make another name`() {
    #expect(ChatName("Ann") == ChatName("aNN"))
    #expect(Set([ChatName("Ann"), ChatName("ann")]).count == 1)
    #expect(ChatName("ann") != ChatName("anne"))
  }

  @Test func `the same letter written in two ways does not make another name`() {
    #expect(ChatName("Zoë") == ChatName("Zoe\u{308}"))
  }
}

@Suite struct Commands {
  @Test(arguments: [
    ("hello", ChatCommand.say("hello")),
    ("  indented", .say("  indented")),
    ("a /quit", .say("a /quit")),
    ("", .nothing),
    ("   ", .nothing),
    ("/quit", .quit),
    ("/QUIT now", .quit),
    (" /who", .who),
    ("/rooms", .rooms),
    ("/help", .help),
    ("/join  swift ", .join(room: "swift")),
    ("/join", .incomplete(usage: "/join ROOM")),
    ("/msg bob hi there", .message(to: "bob", text: "hi there")),
    ("/msg  bob   hi", .message(to: "bob", text: "hi")),
    ("/msg bob ", .incomplete(usage: "/msg NAME TEXT")),
    ("/msg", .incomplete(usage: "/msg NAME TEXT")),
    ("/", .unknown("/")),
    ("/whoami", .unknown("/whoami")),
  ])
  func `a line is understood`(line: String, command: ChatCommand) {
    #expect(ChatCommand(line) == command)
  }
}

@Suite struct `Visible text` {
  @Test(arguments: ["", "plain", "Zoë 名前 👨‍👩‍👧", "\u{FFFD}"])
  func `text stays as it is`(text: String) {
    #expect(text.withoutControls == text)
  }

  @Test func `every control character is replaced`() {
    let controls = (0...0x1F).map { $0 } + (0x7F...0x9F)
    for value in controls where value != 0x09 {
      let scalar = Unicode.Scalar(UInt8(value))
      #expect("a\(scalar)b".withoutControls == "a\u{FFFD}b")
    }
  }

  @Test(arguments: ["\u{2028}", "\u{2029}", "\u{202E}", "\u{2066}", "\u{2069}"])
  func `line separators and direction marks are replaced`(mark: String) {
    #expect("a\(mark)b".withoutControls == "a\u{FFFD}b")
  }

  @Test func `a carriage return and newline are two`() {
    #expect("a\r\nb".withoutControls == "a\u{FFFD}\u{FFFD}b")
  }
}
