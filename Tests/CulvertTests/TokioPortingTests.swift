// SPDX-License-Identifier: Apache-2.0
// ComingFromTokio.md: the Swift code that it shows stands once more in the files TokioPortingTests+*.swift, where it is
// compiled and, over the loopback interface, run. A test looks for each piece there, so that the page can't rot. Culvert is
// imported as a user imports it.

import Culvert
import Foundation
import Testing

#if os(Linux)
  let isLinux = true
#else
  let isLinux = false
#endif

/// Why what only Linux has is left out elsewhere.
let onlyLinux: Comment = "only Linux has this"

@Suite(.timeLimit(watchdog), .enabled(if: !isChaotic, aTryMayBlock)) struct TokioPortingTests {
  private static let folder = URL(filePath: #filePath).deletingLastPathComponent()

  @Test func `all Swift code in ComingFromTokio.md is compiled here`() throws {
    let files = try FileManager.default.contentsOfDirectory(
      at: Self.folder, includingPropertiesForKeys: nil
    ).filter { $0.lastPathComponent.hasPrefix("TokioPortingTests+") }
    try #require(files.count > 3)
    // The end of a file is no part of a snippet.
    let compiled = try files.map { normalized(try String(contentsOf: $0, encoding: .utf8)) }.joined(
      separator: "\0")
    let page = try Page(Self.folder.appending(path: "../../Sources/Culvert/Culvert.docc/ComingFromTokio.md"))
    try #require(page.blocks.count > 1 && page.spans.count > 100)
    let missing = (page.blocks + page.spans).filter { !compiled.contains($0) }
    #expect(missing == [])
  }

  /// What of a page is Culvert's code: its Swift blocks, and code within text, but not in headings and the first columns of
  /// tables, which are tokio's.
  private struct Page {
    var blocks: [String] = []
    var spans: [String] = []

    init(_ file: URL) throws {
      var block: (isSwift: Bool, lines: [Substring])?
      let text = try String(contentsOf: file, encoding: .utf8)
      for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
        if line.hasPrefix("```") {
          if let (isSwift, lines) = block {
            if isSwift { blocks.append(normalized(lines.joined(separator: "\n"))) }
            block = nil
          } else {
            block = (line == "```swift", [])
          }
        } else if block != nil {
          block?.lines.append(line)
        } else if !line.hasPrefix("#") {
          try addSpans(line)
        }
      }
      try #require(block == nil)
    }

    private mutating func addSpans(_ line: Substring) throws {
      let text = line.hasPrefix("|") ? line.dropFirst().drop { $0 != "|" } : line
      // Within a table a bar is escaped.
      let parts = text.replacing("\\|", with: "|").split(separator: "`", omittingEmptySubsequences: false)
      try #require(parts.count % 2 == 1, "code that does not end on its line: \(line)")
      for index in stride(from: 1, to: parts.count, by: 2) { spans.append(normalized(String(parts[index]))) }
    }
  }

  /// Without lines of comment, and with one space for each white space.
  static func normalized(_ code: String) -> String {
    code.split(separator: "\n").map { $0.trimmingCharacters(in: .whitespaces) }
      .filter { !$0.hasPrefix("//") }
      .flatMap { $0.split(whereSeparator: \.isWhitespace) }.joined(separator: " ")
  }
  private func normalized(_ code: String) -> String { Self.normalized(code) }
}
