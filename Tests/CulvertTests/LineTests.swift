// SPDX-License-Identifier: Apache-2.0
// Lines out of bytes, however the bytes are cut into chunks.
import Testing

@testable import Culvert

/// What one call gave.
private enum Outcome: Equatable, CustomStringConvertible {
  case line(String), tooLong, malformed

  var description: String {
    switch self {
    case .line(let text): text.debugDescription
    case .tooLong: "too long"
    case .malformed: "malformed"
    }
  }
}

/// Everything that a reader of these chunks gives; ends with nil twice.
private func outcomes(of chunks: [[UInt8]], maximum: Int = 4096) async throws -> [Outcome] {
  let reader = BufferedReader(Scripted(chunks), maximumLength: maximum)
  var all: [Outcome] = []
  while let next = try await outcome(of: reader) { all.append(next) }
  #expect(try await reader.readLine() == nil)
  return all
}

private func outcome(of reader: BufferedReader<Scripted>) async throws -> Outcome? {
  do throws(IoError) {
    return try await reader.readLine().map { .line($0) }
  } catch {
    switch error.code {
    case .limitReached: return .tooLong
    case .malformed: return .malformed
    default: throw error
    }
  }
}

private func lines(_ text: String, maximum: Int = 4096) async throws -> [Outcome] {
  try await outcomes(of: [Array(text.utf8)], maximum: maximum)
}

/// The same by the definition: cut at each "\n", take one "\r" off, measure, decode.
private func definition(_ bytes: [UInt8], maximum: Int) -> [Outcome] {
  var parts = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
  let last = parts.removeLast()
  var lines = parts.map { $0.last == UInt8(ascii: "\r") ? $0.dropLast() : $0 }
  if !last.isEmpty { lines.append(last) }  // nothing ended it, so a "\r" is its own
  return lines.map { line in
    if line.count > maximum { return .tooLong }
    return String(validating: line, as: UTF8.self).map { .line($0) } ?? .malformed
  }
}

@Suite(.timeLimit(watchdog)) struct LineTests {
  @Test func `nothing has no lines`() async throws {
    #expect(try await lines("").isEmpty)
  }

  @Test func `a newline ends a line, with a return before it or not`() async throws {
    #expect(try await lines("a\nb\r\nc\n") == [.line("a"), .line("b"), .line("c")])
  }

  @Test func `empty lines are lines`() async throws {
    #expect(try await lines("\n\r\n\na\n\n") == [.line(""), .line(""), .line(""), .line("a"), .line("")])
  }

  @Test func `a last line needs no newline`() async throws {
    #expect(try await lines("a\nb") == [.line("a"), .line("b")])
    #expect(try await lines("b") == [.line("b")])
  }

  @Test func `a return that no newline follows belongs to its line`() async throws {
    #expect(try await lines("a\rb\n\rc\r\r\n") == [.line("a\rb"), .line("\rc\r")])
    #expect(try await lines("a\nb\r") == [.line("a"), .line("b\r")])
    #expect(try await lines("\r") == [.line("\r")])
  }

  @Test(arguments: ["\n", "\r\n", ""])
  func `a line of the maximum length is given, one byte more is too long`(end: String) async throws {
    for maximum in [1, 2, 10, 4096] {
      let exact = String(repeating: "x", count: maximum)
      #expect(try await lines(exact + end, maximum: maximum) == [.line(exact)])
      #expect(try await lines(exact + "y" + end, maximum: maximum) == [.tooLong])
      let withReturn: Outcome = end == "\n" ? .line(exact) : .tooLong
      #expect(try await lines(exact + "\r" + end, maximum: maximum) == [withReturn])
      #expect(try await lines(exact + "\r\r" + end, maximum: maximum) == [.tooLong])
    }
  }

  @Test func `after a line that is too long the next one is given, whatever the chunks`() async throws {
    for length in [6, 7, 8, 9, 100, 10_000] {
      for size in [1, 2, 3, 5, 6, 7, 8, 64, 20_000] {
        let text = "ok\n" + String(repeating: "z", count: length) + "\r\nnext\n\nlast"
        let found = try await outcomes(of: pieces(Array(text.utf8), of: size), maximum: 5)
        #expect(found == [.line("ok"), .tooLong, .line("next"), .line(""), .line("last")])
      }
    }
  }

  @Test func `the end of the stream within a line that is too long is the end`() async throws {
    let long = [UInt8](repeating: 65, count: 500)
    #expect(try await outcomes(of: pieces(long, of: 3), maximum: 5) == [.tooLong])
  }

  @Test func `characters may be split over chunks`() async throws {
    let text = "grün\n🌊🌊\r\né\n"
    for size in 1...4 {
      let found = try await outcomes(of: pieces(Array(text.utf8), of: size))
      #expect(found == [.line("grün"), .line("🌊🌊"), .line("é")])
    }
  }

  static let notUtf8: [[UInt8]] = [
    [0xFF], [0xC3], [0xE2, 0x82], [0xC0, 0x80], [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80],
  ]

  @Test(arguments: notUtf8)
  func `a line that is not UTF-8 is malformed, and the next one is given`(bad: [UInt8]) async throws {
    let bytes = Array("a\n".utf8) + bad + Array("\nb\n".utf8) + bad
    for size in 1...bytes.count {
      let found = try await outcomes(of: pieces(bytes, of: size))
      #expect(found == [.line("a"), .malformed, .line("b"), .malformed])
    }
  }

  @Test func `NUL is a character like any other`() async throws {
    #expect(try await lines("a\0b\n\0\n") == [.line("a\0b"), .line("\0")])
  }

  @Test func `a maximum below one counts as one`() async throws {
    #expect(try await lines("a\nbc\n", maximum: 0) == [.line("a"), .tooLong])
    #expect(try await lines("a\nbc\n", maximum: -5) == [.line("a"), .tooLong])
  }

  @Test(arguments: 0..<20 as Range<UInt64>)
  func `every way to cut a text into chunks gives the same lines`(seed: UInt64) async throws {
    var random = SeededRandom(seed)
    let alphabet: [[UInt8]] = [[10], [10], [13], [13, 10], [97], [98, 99], [0xC3, 0xBC], [0xFF], [0]]
    for _ in 0..<150 {
      let length = Int.random(in: 0...40, using: &random)
      let bytes = (0..<length).flatMap { _ in alphabet.randomElement(using: &random)! }
      let maximum = Int.random(in: 1...9, using: &random)
      let cut = pieces(bytes, atMost: 12, using: &random)
      // The first difference is enough.
      let found = try await outcomes(of: cut, maximum: maximum)
      try #require(found == definition(bytes, maximum: maximum), "\(cut), at most \(maximum)")
    }
  }

  @Test(arguments: Place.allCases)
  func `a cancelled readLine() loses nothing`(place: Place) async throws {
    try await place.run {
      let pair = try await Connection()
      let reader = Turns(BufferedReader(pair.server, maximumLength: 16))
      var got: [String] = []
      for number in 0..<200 {
        let task = Task { try await reader.readLine() }
        async let written: Void = pair.client.write("\(number) ")
        if number % 4 == 0 { await Task.yield() }
        if number % 3 == 0 { try await pair.client.write("\n") }
        task.cancel()
        if case .success(let line?) = await task.result { got.append(line) }
        try await written
      }
      try pair.client.shutdown()
      while let line = try await reader.readLine() { got.append(line) }
      #expect(got.joined().split(separator: " ").compactMap { Int($0) } == Array(0..<200))
    }
  }
}

/// A reader for one task after the other.
private actor Turns {
  private let reader: BufferedReader<TcpStream>
  init(_ reader: sending BufferedReader<TcpStream>) { self.reader = reader }
  func readLine() async throws(IoError) -> String? { try await reader.readLine() }
}
