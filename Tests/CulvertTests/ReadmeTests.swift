// SPDX-License-Identifier: Apache-2.0
// The README's code stands here once more, between markers, where it is compiled and run; a test compares the two
// texts. Culvert is imported as a user imports it.

import Culvert
import Foundation
import Testing

@Suite(.timeLimit(.minutes(5))) struct ReadmeTests {
  private func echo() async throws {
    // README begins
    try await withRuntime { _ in
      let listener = try await TcpListener.bind("127.0.0.1:7777")
      try await listener.serve { stream in
        var buffer = [UInt8](repeating: 0, count: 4096)
        while case let count = try await stream.read(into: &buffer), count > 0 {
          try await stream.write(buffer[..<count])
        }
      }
    }
    // README ends
  }

  @Test func `the README's error is what it says`() async {
    await confirmation { printed in
      func print(_ error: IoError) {
        #expect("\(error)" == "connect to 127.0.0.1:1: connection refused")
        printed()
      }
      // README begins
      do throws(IoError) {
        _ = try await TcpStream.connect(to: "127.0.0.1:1")
      } catch {
        if error.code == .connectionRefused { print(error) }  // connect to 127.0.0.1:1: connection refused
      }
      // README ends
    }
  }

  /// What the README's server finds under this name: a listener on a free port, which the test gets to know.
  private enum TcpListener {
    @TaskLocal static var bound: AsyncStream<Culvert.TcpListener>.Continuation?

    static func bind(_ address: String) async throws(IoError) -> Culvert.TcpListener {
      let listener = try await Culvert.TcpListener.bind(address.replacing(":7777", with: ":0"))
      bound?.yield(listener)
      return listener
    }
  }

  @Test func `the README's server sends back what it gets`() async throws {
    let (listeners, bound) = AsyncStream.makeStream(of: Culvert.TcpListener.self)
    async let served: Void = TcpListener.$bound.withValue(bound) {
      defer { bound.finish() }
      try await echo()
    }
    let listener = try #require(await listeners.first { _ in true })
    let stream = try await TcpStream.connect(to: listener.localAddress)
    let sent = (0..<10_000).map { UInt8($0 % 251) }
    try await stream.write(sent)
    try stream.shutdown()
    var got: [UInt8] = []
    while let some = try await stream.read(upTo: 4096) { got += some }
    #expect(got == sent)
    await listener.closed()
    try await served
  }

  @Test func `the README's code is the code that is compiled here`() throws {
    let here = URL(filePath: #filePath)
    let readme = here.deletingLastPathComponent().appending(path: "../../README.md")
    let shown = try blocks(in: readme, from: "```swift", to: "```")
      .filter { !$0.contains("import PackageDescription") }
    let compiled = try blocks(in: here, from: "// README begins", to: "// README ends")
    try #require(shown.count == compiled.count && !shown.isEmpty)
    for (shown, compiled) in zip(shown, compiled) { #expect(shown == compiled) }
  }

  /// The texts between lines that say `from` and `to`, at the margin, without imports.
  private func blocks(in file: URL, from: String, to: String) throws -> [String] {
    var blocks: [String] = []
    var block: [Substring]?
    let text = try String(contentsOf: file, encoding: .utf8)
    for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
      let words = line.trimmingCharacters(in: .whitespaces)
      if words == from {
        block = []
      } else if words == to, let ended = block {
        blocks.append(atMargin(ended))
        block = nil
      } else {
        block?.append(line)
      }
    }
    return blocks
  }

  private func atMargin(_ lines: [Substring]) -> String {
    let code = lines.filter { !$0.hasPrefix("import Culvert") }.drop(while: \.isEmpty)
    let margin = code.filter { !$0.isEmpty }.map { $0.prefix { $0 == " " }.count }.min() ?? 0
    return code.map { String($0.dropFirst(margin)) }.joined(separator: "\n")
  }
}
