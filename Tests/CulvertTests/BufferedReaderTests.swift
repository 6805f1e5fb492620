// SPDX-License-Identifier: Apache-2.0
// Reading ahead: whatever is asked for, in whatever pieces the bytes come, nothing is lost and nothing comes twice.
import CulvertTesting
import Testing

@testable import Culvert

private let text = Array("one\ntwo\nthree".utf8)

@Suite(.timeLimit(watchdog)) struct BufferedReaderTests {
  @Test func `just so many bytes are read, and what is left stays`() async throws {
    for size in 1...text.count {
      let reader = BufferedReader(Scripted(pieces(text, of: size)))
      #expect(try await reader.readExactly(0) == [])
      #expect(try await reader.readExactly(5) == Array(text[..<5]))
      #expect(try await reader.read(upTo: 100)?.first == text[5])
    }
  }

  @Test func `an end that comes too early is told, and what there is can be read`() async throws {
    let reader = BufferedReader(Scripted([[1, 2], [3]]))
    let error = await thrown { try await reader.readExactly(4) }
    #expect(error?.code == .unexpectedEnd && error?.operation == "read 4 bytes of which 3 are there")
    #expect(await failure { try await reader.readExactly(4) } == .unexpectedEnd)
    #expect(try await reader.readExactly(3) == [1, 2, 3])
    #expect(try await reader.readExactly(0) == [])
    #expect(try await reader.read(upTo: 1) == nil)
  }

  @Test func `peeking takes nothing, and is short only at the end`() async throws {
    for size in 1...text.count {
      let reader = BufferedReader(Scripted(pieces(text, of: size)))
      #expect(try await reader.peek(6) == Array(text[..<6]))
      #expect(try await reader.peek(-1) == [])
      #expect(try await reader.peek(100) == text)
      #expect(try await reader.readExactly(text.count) == text)
      #expect(try await reader.peek(1) == [])
    }
  }

  @Test func `more than the maximum is refused, and takes nothing`() async throws {
    let reader = BufferedReader(Scripted([text]), maximumLength: 4)
    let error = await thrown { try await reader.readExactly(5) }
    #expect(error?.code == .limitReached && error?.operation == "read 5 bytes, of up to 4 bytes")
    #expect(await failure { try await reader.peek(5) } == .limitReached)
    #expect(try await reader.readExactly(4) == Array(text[..<4]))
    #expect(try await reader.skip(100) == text.count - 4)
    #expect(try await reader.skip(1) == 0)
  }

  @Test func `a delimiter is read with what is before it, however it is cut`() async throws {
    let bytes = Array("a--b---c--".utf8)
    for size in 1...bytes.count {
      let reader = BufferedReader(Scripted(pieces(bytes, of: size)))
      let dashes = Array("--".utf8)
      var found: [String] = []
      while let piece = try await reader.readUntil(dashes) {
        found.append(String(decoding: piece, as: UTF8.self))
      }
      #expect(found == ["a--", "b--", "-c--"])
    }
    let reader = BufferedReader(Scripted([text]))
    #expect(try await reader.readUntil(UInt8(ascii: "\n")) == Array("one\n".utf8))
    #expect(await failure { try await reader.readUntil([]) } == .invalidArgument)
    #expect(try await reader.skip(4) == 4)
    #expect(try await reader.readUntil(UInt8(ascii: "\n")) == Array("three".utf8))
  }

  @Test func `the last piece, which lacks its delimiter, is not longer than the maximum either`() async throws
  {
    let dashes = Array("---".utf8)
    for size in 1...6 {
      let exact = BufferedReader(Scripted(pieces(Array("abcd".utf8), of: size)), maximumLength: 4)
      #expect(try await exact.readUntil(dashes) == Array("abcd".utf8))
      for long in ["abcde", "abcd-", "abcd--"] {
        let reader = BufferedReader(Scripted(pieces(Array(long.utf8), of: size)), maximumLength: 4)
        #expect(await failure { try await reader.readUntil(dashes) } == .limitReached, "\(long)")
        #expect(try await reader.readUntil(dashes) == nil)
      }
    }
  }

  @Test func `no maximum is too great, whatever length a peer announces`() async throws {
    let bytes = [UInt8](repeating: 0xFF, count: 20)
    func reader() -> BufferedReader<Scripted> { BufferedReader(Scripted([bytes]), maximumLength: .max) }
    #expect(try await reader().readUntil([1, 2]) == bytes)
    #expect(await failure { try await reader().readLine() } == .malformed)
    #expect(await failure { try await reader().readFrame(.lengthPrefixed(.eightBytes)) } == .limitReached)
    #expect(await failure { try await reader().readFrame(.delimited(by: [1, 2])) } == .unexpectedEnd)
    #expect(await failure { try await reader().readExactly(.max) } == .limitReached)
    #expect(await failure { try await reader().readExactly(1 << 40) } == .unexpectedEnd)
    #expect(try await reader().peek(1 << 40) == bytes)
    #expect(try await reader().readToEnd() == bytes)
    #expect(try await reader().skip(.max) == bytes.count)
  }

  @Test func `everything is read to the end, if it is not more than the limit`() async throws {
    for size in [1, 5, 13] {
      let all = BufferedReader(Scripted(pieces(text, of: size)))
      #expect(try await all.readToEnd(limit: text.count) == text)
      #expect(try await all.readToEnd() == [])
      let more = BufferedReader(Scripted(pieces(text, of: size)))
      #expect(await failure { try await more.readToEnd(limit: text.count - 1) } == .limitReached)
      #expect(try await more.readExactly(text.count) == text)
    }
    let bounded = BufferedReader(Scripted([text]), maximumLength: 12)
    #expect(await failure { try await bounded.readToEnd() } == .limitReached)
    #expect(try await bounded.readToEnd(limit: .max) == text)
  }

  @Test func `lines are a sequence, which can be taken up again after an error`() async throws {
    let reader = BufferedReader(Scripted([Array("a\nbcd\ne\n".utf8)]), maximumLength: 2)
    var found: [String] = []
    let code = await failure { for try await line in reader.lines { found.append(line) } }
    #expect(code == .limitReached)
    for try await line in reader.lines { found.append(line) }
    #expect(found == ["a", "e"])
  }

  @Test func `an error of the source is thrown behind what had come`() async throws {
    let reader = BufferedReader(Scripted([[1, 2, 3]], thenThrowing: .connectionReset))
    #expect(await failure { try await reader.readExactly(4) } == .connectionReset)
    #expect(try await reader.readExactly(3) == [1, 2, 3])
    #expect(await failure { try await reader.readLine() } == .connectionReset)
  }

  @Test func `memory grows with what has come, and what is much is given back`() async throws {
    let big = [UInt8](repeating: 7, count: 1 << 20)
    let reader = BufferedReader(Scripted(pieces(big, of: 3000) + [[1]]), maximumLength: 1 << 30)
    #expect(await failure { try await reader.readExactly(1 << 30) } == .unexpectedEnd)
    #expect(reader.ahead.capacity <= 4 << 20)
    let again = BufferedReader(Scripted(pieces(big, of: 3000) + [[1]]), maximumLength: 1 << 20)
    #expect(try await again.readExactly(1 << 20).count == 1 << 20)
    #expect(try await again.readExactly(1) == [1])
    #expect(again.ahead.capacity <= 4096)
  }

  @Test(arguments: 0..<30 as Range<UInt64>)
  func `whatever is asked for in whatever order, it is what comes next`(seed: UInt64) async throws {
    var random = SeededRandom(seed)
    for _ in 0..<60 {
      let alphabet: [UInt8] = [0, 1, 2, 10, 10, 13, 45, 45, 97, 255]
      let length = Int.random(in: 0...120, using: &random)
      let bytes = (0..<length).map { _ in alphabet.randomElement(using: &random)! }
      let maximum = Int.random(in: 1...14, using: &random)
      let cut = pieces(bytes, atMost: 12, using: &random)
      let reader = BufferedReader(Scripted(cut), maximumLength: maximum)
      var model = ReaderModel(bytes, maximumLength: maximum)
      for _ in 0..<200 {
        let request = ReaderModel.Request.random(using: &random)
        let answer = await request.answer(of: reader)
        let isRight = model.takes(answer, to: request)
        try #require(isRight, "\(request) of \(cut), at most \(maximum): \(answer)")
        try #require(reader.ahead.capacity <= maximum + 20)
        if model.isAtEnd, answer == .end { break }
      }
      try #require(model.isAtEnd)
    }
  }

  @Test(arguments: Place.allCases)
  func `a cancelled readExactly() loses nothing`(place: Place) async throws {
    try await place.run {
      let (client, server) = try await TcpStream.loopbackPair()
      let reader = OneTask(BufferedReader(server))
      var got: [UInt8] = []
      for number in 0..<100 {
        let task = Task { try await reader.readExactly(3) }
        try await client.write([UInt8(number)])
        if number % 2 == 0 { await Task.yield() }
        task.cancel()
        if case .success(let bytes) = await task.result { got += bytes }
      }
      try client.shutdown()
      got += try await reader.readToEnd()
      #expect(got == (0..<100).map { UInt8($0) })
    }
  }
}

/// A reader for one task after the other.
private actor OneTask {
  private let reader: BufferedReader<TcpStream>
  init(_ reader: sending BufferedReader<TcpStream>) { self.reader = reader }
  func readExactly(_ count: Int) async throws(IoError) -> [UInt8] { try await reader.readExactly(count) }
  func readToEnd() async throws(IoError) -> [UInt8] { try await reader.readToEnd() }
}
