// SPDX-License-Identifier: Apache-2.0
// Tests/HAZARDS.md, held against the tests and the mutants.
import Foundation
import Testing

@Suite struct HazardTableTests {
  private let table: String
  /// The names of all tests.
  private let names: Set<String>

  init() throws {
    let tests = FloorPlanTests.root.appendingPathComponent("Tests")
    table = try String(contentsOf: tests.appendingPathComponent("HAZARDS.md"), encoding: .utf8)
    let files =
      FileManager.default.enumerator(at: tests, includingPropertiesForKeys: nil)?.allObjects as? [URL]
    let sources = try (files ?? []).filter { $0.pathExtension == "swift" }
      .map { try String(contentsOf: $0, encoding: .utf8) }
    names = Set(sources.flatMap { $0.matches(of: #/func\s+`(.+?)`/#).map { String($0.output.1) } })
  }

  @Test func `every name in the table of hazards is a test`() {
    let quoted = table.matches(of: #/`([^`]+)`/#).map { String($0.output.1) }.filter { $0.contains(" ") }
    #expect(quoted.count > 80)
    for name in quoted where !name.hasPrefix("make ") { #expect(names.contains(name), "\(name)") }
  }

  @Test func `every hazard has its row, and every test of a hazard is in the table`() {
    for number in 1...41 {
      #expect(table.contains("\n| \(number) |") || table.contains("\n| \(number)* |"), "\(number)")
    }
    for name in names where name.hasPrefix("hazard ") { #expect(table.contains("`\(name)`"), "\(name)") }
  }

  @Test func `the table counts the mutants that there are`() throws {
    let file = FloorPlanTests.root.appendingPathComponent("Tests/mutants.toml")
    let count = try String(contentsOf: file, encoding: .utf8).matches(of: #/(?m)^\[\[mutant\]\]$/#).count
    #expect(table.contains("\n| mutants, all killed | \(count) |"))
  }
}
