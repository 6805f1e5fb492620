// SPDX-License-Identifier: Apache-2.0
// A headless Chromium, driven over its DevTools protocol.

import Foundation
import Testing

/// A running browser.
final class Browser {
  /// Its name on this machine; `nil` where there is none.
  static let program: String? = ["chromium", "chromium-browser", "google-chrome"].lazy.compactMap { name in
    ProcessInfo.processInfo.environment["PATH", default: ""].split(separator: ":").lazy
      .map { "\($0)/\(name)" }.first { FileManager.default.isExecutableFile(atPath: $0) }
  }.first

  struct Failure: Error {
    let what: String
  }

  private let socket: WebSocket
  private var requests = 0

  private init(_ socket: WebSocket) { self.socket = socket }

  /// Runs a browser until `body` is through.
  static func run(_ body: (Browser) async throws -> Void) async throws {
    let profile = FileManager.default.temporaryDirectory.appending(path: "browser-\(UUID().uuidString)").path
    defer { try? FileManager.default.removeItem(atPath: profile) }
    let command = [
      try #require(program), "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
      "--no-first-run",
      "--user-data-dir=\(profile)", "--remote-debugging-port=0", "about:blank",
    ]
    try await withChild(command) { child in
      let line = try await child.expect("DevTools listening on ws://")
      let address = try #require(
        line.range(of: "ws://").flatMap { URL(string: String(line[$0.lowerBound...])) })
      let socket = try await WebSocket.connect(
        to: "\(address.host() ?? ""):\(address.port ?? 0)", path: address.path())
      try await body(Browser(socket))
      socket.close()
    }
  }

  /// Opens a page of that size.
  func open(_ url: String, width: Int, height: Int, isPhone: Bool = false) async throws -> Tab {
    let target = try await ask("Target.createTarget", ["url": "about:blank", "newWindow": true])
    let attached = try await ask(
      "Target.attachToTarget", ["targetId": target["targetId"] ?? "", "flatten": true])
    let tab = Tab(browser: self, session: attached["sessionId"] as? String ?? "")
    let scale = isPhone ? 2 : 1
    try await ask(
      "Emulation.setDeviceMetricsOverride",
      ["width": width, "height": height, "deviceScaleFactor": scale, "mobile": isPhone], in: tab.session)
    try await ask("Page.enable", in: tab.session)
    try await ask("Page.navigate", ["url": url], in: tab.session)
    return tab
  }

  @discardableResult
  func ask(_ method: String, _ parameters: [String: Any] = [:], in session: String? = nil) async throws
    -> [String: Any]
  {
    requests += 1
    var request: [String: Any] = ["id": requests, "method": method, "params": parameters]
    if let session { request["sessionId"] = session }
    let text = try JSONSerialization.data(withJSONObject: request)
    try await socket.send(String(decoding: text, as: UTF8.self))
    while true {
      guard case .text(let answer) = try await socket.receive() else {
        throw Failure(what: "\(method): no answer")
      }
      let read = try JSONSerialization.jsonObject(with: Data(answer.utf8)) as? [String: Any] ?? [:]
      guard read["id"] as? Int == requests else { continue }
      if let error = read["error"] { throw Failure(what: "\(method): \(error)") }
      return read["result"] as? [String: Any] ?? [:]
    }
  }
}

/// An open page.
struct Tab {
  let browser: Browser
  let session: String

  /// Runs a script in the page, until its promise is kept.
  @discardableResult
  func run(_ script: String) async throws -> Any? {
    let result = try await browser.ask(
      "Runtime.evaluate", ["expression": script, "awaitPromise": true, "returnByValue": true], in: session)
    if let problem = result["exceptionDetails"] { throw Browser.Failure(what: "\(script): \(problem)") }
    return (result["result"] as? [String: Any])?["value"]
  }

  /// Waits until a condition of the page holds: looks whenever the page changes.
  func wait(until condition: String, within seconds: Int = 15) async throws {
    let held = try await run(
      """
      new Promise(done => {
        const look = () => { try { if (\(condition)) done(true); } catch {} };
        new MutationObserver(look).observe(document, {childList: true, subtree: true, attributes: true, characterData: true});
        setTimeout(() => done(false), \(seconds * 1000));
        look();
      })
      """)
    if held as? Bool != true {
      throw Browser.Failure(
        what: "not so: \(condition); the page: \(try await run("document.body.innerText") ?? "")")
    }
  }

  /// Waits until the page shows a text.
  func expect(_ text: String) async throws {
    try await wait(until: "document.getElementById('talk').innerText.includes(\(quoted(text)))")
  }

  /// Says a line.
  func say(_ line: String) async throws {
    try await run(
      "document.getElementById('line').value = \(quoted(line)); document.getElementById('say').requestSubmit()"
    )
  }

  /// Gives the name that is asked for.
  func introduce(as name: String) async throws {
    try await wait(until: "document.getElementById('ask').open")
    try await run(
      "document.getElementById('name').value = \(quoted(name)); document.querySelector('#ask form').requestSubmit()"
    )
  }

  func quoted(_ text: String) -> String {
    let json = try? JSONSerialization.data(withJSONObject: [text])
    return String(decoding: json ?? Data("['']".utf8), as: UTF8.self) + "[0]"
  }

  /// Keeps a picture of the page where CI collects such things, or in the temporary directory.
  func keepPicture(_ name: String) async throws {
    let shot = try await browser.ask("Page.captureScreenshot", ["format": "png"], in: session)
    let picture = try #require(Data(base64Encoded: shot["data"] as? String ?? ""))
    let folder =
      ProcessInfo.processInfo.environment["CULVERT_ARTEFACTS"] ?? FileManager.default.temporaryDirectory.path
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    try picture.write(to: URL(fileURLWithPath: folder).appending(path: name))
  }
}
