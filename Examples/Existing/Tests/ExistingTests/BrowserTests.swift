// SPDX-License-Identifier: Apache-2.0
// The page in a real browser: two pages and a netcat talk, and a picture is kept.

import Foundation
import Subprocess
import Testing

extension Programs {
  @Suite(.enabled(if: Browser.program != nil, "no chromium on this machine: the page is not looked at"))
  struct `The page` {
    @Test func `two pages and a netcat talk, and nobody's text is anything but text`() async throws {
      try await withWebChat { _, terminals, browsers in
        try await Browser.run { browser in
          let url = "http://127.0.0.1:\(browsers)/"
          let ada = try await browser.open(url, width: 1180, height: 760)
          try await ada.introduce(as: "ada")
          try await ada.expect("Welcome!")
          try await withPerson("nils", at: terminals) { nils in
            let grace = try await browser.open(url, width: 390, height: 780, isPhone: true)
            try await grace.introduce(as: "Ada")
            try await grace.wait(until: "document.getElementById('why').textContent.includes('in use')")
            try await grace.introduce(as: "grace")
            try await nils.expect("* grace has joined")
            try await ada.say("Good morning. Is everybody here?")
            try await nils.expect("<ada> Good morning.")
            try await nils.type("Yes, from a terminal: nc 127.0.0.1 7777")
            try await grace.expect("from a terminal")
            try await grace.say("And I am on my phone.")
            try await grace.say(
              "The same room, three ways in. Nothing is lost between them, whoever is slow.")
            let sly = "<b id=\"sly\">bold</b><img src=x onerror=\"document.title='gone'\">"
            try await nils.type(sly)
            try await ada.expect(sly)
            try await nils.type("/msg ada psst: only you see this")
            try await ada.expect("only you see this")
            for tab in [ada, grace] {
              try await tab.wait(until: "document.querySelectorAll('#people li').length === 3")
              #expect(
                try await tab.run("document.getElementById('sly') === null && document.title") as? String
                  == "Culvert chat")
            }
            try await ada.say("See you in #swift, then: /join swift")
            try await grace.expect("See you in")
            try await ada.keepPicture("web-chat-desktop.png")
            try await grace.keepPicture("web-chat-phone.png")
            try await nils.type("/quit")
            try await ada.wait(until: "document.querySelectorAll('#people li').length === 2")
          }
        }
      }
    }

    @Test func `a page comes back by itself, in its room, when the server does`() async throws {
      var ports = ("", "")
      try await Browser.run { browser in
        var page: Tab?
        try await withWebChat(ends: .byItself) { server, terminals, browsers in
          ports = (terminals, browsers)
          let tab = try await browser.open("http://127.0.0.1:\(browsers)/", width: 800, height: 600)
          try await tab.introduce(as: "ada")
          try await tab.expect("Welcome!")
          try await tab.say("/join swift")
          try await tab.wait(until: "document.getElementById('room').textContent === '# swift'")
          page = tab
          try server.signal(.terminate)
          try await tab.expect("You are disconnected")
        }
        try await withChild([Program.webChat, "--port", ports.0, "--http-port", ports.1]) { server in
          try await server.expect("browsers: ")
          try await withPerson("nils", at: ports.0) { nils in
            try await nils.type("/join swift")
            try await page?.wait(until: "document.querySelectorAll('#people li').length === 2")
            try await nils.type("welcome back")
            try await page?.expect("welcome back")
          }
        }
      }
    }
  }
}
