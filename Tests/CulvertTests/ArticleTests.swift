// SPDX-License-Identifier: Apache-2.0
// The articles: what they show stands once more in Articles/ (that of TLS in CulvertTLSTests, the bridges' in Tests/Traits), where
// it is compiled and run. A test looks for each piece there, so that no article can rot.

import Foundation
import Testing

@Suite struct ArticleTests {
  private static let here = URL(filePath: #filePath).deletingLastPathComponent()
  private static let catalogs = ["Culvert/Culvert.docc", "CulvertTLS/CulvertTLS.docc"].map {
    here.appending(path: "../../Sources/\($0)")
  }

  @Test func `all Swift code in the articles is compiled`() throws {
    let folders = [
      "Articles", "../Traits/Tests/ServiceLifecycleTests", "../Traits/Tests/LoggingTests",
      "../CulvertTLSTests",
    ]
    let sources = try folders.flatMap { folder in
      try FileManager.default.contentsOfDirectory(
        at: Self.here.appending(path: folder), includingPropertiesForKeys: nil)
    }
    let compiled = try sources.map { normalized(try String(contentsOf: $0, encoding: .utf8)) }.joined(
      separator: "\0")
    let articles = try Self.catalogs.flatMap {
      try FileManager.default.contentsOfDirectory(at: $0, includingPropertiesForKeys: nil)
    }
    .filter { $0.pathExtension == "md" && $0.lastPathComponent != "ComingFromTokio.md" }
    try #require(articles.count > 5)
    var count = 0
    for article in articles {
      for block in blocks(in: try String(contentsOf: article, encoding: .utf8)) {
        count += 1
        let missing = pieces(of: block).filter { !compiled.contains($0) }
        #expect(missing == [], "\(article.lastPathComponent)")
      }
    }
    #expect(count > 10)
  }

  @Test func `every file that a page links to is there`() throws {
    let root = Self.here.appending(path: "../..")
    let folders = [root, root.appending(path: "docs"), root.appending(path: "docs/releases")] + Self.catalogs
    var missing: [String] = []
    for folder in folders {
      let pages = try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
      for page in pages where page.pathExtension == "md" {
        for link in try String(contentsOf: page, encoding: .utf8).matches(of: #/\]\(([^)#:]+)(#[^)]*)?\)/#) {
          let target = folder.appending(path: String(link.1))
          if !FileManager.default.fileExists(atPath: target.path) {
            missing.append("\(page.lastPathComponent): \(link.1)")
          }
        }
      }
    }
    #expect(missing == [])
  }

  /// The Swift blocks of a page.
  private func blocks(in text: String) -> [String] {
    text.components(separatedBy: "```swift\n").dropFirst().map { $0.components(separatedBy: "\n```")[0] }
      .filter { !$0.contains("import PackageDescription") }
  }

  /// What of a block has to be found in one piece: it has no imports, and what empty lines before the margin divide may stand
  /// anywhere.
  private func pieces(of block: String) -> [String] {
    var pieces: [[Substring]] = [[]]
    for line in block.split(separator: "\n", omittingEmptySubsequences: false)
    where !line.hasPrefix("import ") {
      let isOutside = line.first.map { !$0.isWhitespace && $0 != "}" && $0 != ")" } ?? false
      if isOutside, pieces.last?.last?.isEmpty == true { pieces.append([]) }
      pieces[pieces.count - 1].append(line)
    }
    return pieces.map { normalized($0.joined(separator: "\n")) }.filter { !$0.isEmpty }
  }

  /// Readers need not know of strict memory safety.
  private func normalized(_ code: String) -> String {
    TokioPortingTests.normalized(code).replacing("unsafe ", with: "")
  }
}
