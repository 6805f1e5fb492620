// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import Culvert

@Suite(.timeLimit(watchdog)) struct UvVersionTests {
  @Test(arguments: [0x012C02, 0x012CFF, 0x013100, 0x013401, 0x020000] as [UInt32])
  func `a good libuv gets no warning`(version: UInt32) {
    #expect(UvVersion.warning(about: version) == nil)
  }

  @Test(
    arguments: [(0x012D00, "1.45.0"), (0x012E00, "1.46.0"), (0x0130FF, "1.48.255")] as [(UInt32, String)])
  func `1.45 to 1.48 get a line that names the version`(version: UInt32, name: String) throws {
    let warning = try #require(UvVersion.warning(about: version))
    #expect(warning.hasPrefix("culvert: libuv \(name) ") && !warning.contains("\n"))
  }

  @Test func `a process is warned once, however many loops it makes, or not at all`() async throws {
    let warned = try await #require(processExitsWith: .success, observing: [\.standardErrorContent]) {
      for _ in 0..<2 { try await withRuntime(workers: 2) { _ in } }
    }
    let lines = String(decoding: warned.standardErrorContent, as: UTF8.self).split(separator: "\n")
    #expect(
      lines.filter { $0.hasPrefix("culvert: ") }.map(String.init)
        == [UvVersion.warning(about: UvVersion.loaded)].compactMap(\.self))
  }
}
