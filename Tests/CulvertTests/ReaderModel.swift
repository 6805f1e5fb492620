// SPDX-License-Identifier: Apache-2.0
// What a buffered reader is to answer, by definition: all the bytes are there at once.
@testable import Culvert

/// The bytes that are left, and what each request is to give.
struct ReaderModel {
  enum Request {
    case read(Int), peek(Int), exactly(Int), skip(Int), line, until([UInt8]), frame(Framing)

    static func random(using random: inout SeededRandom) -> Request {
      let count = Int.random(in: 1...16, using: &random)
      let framings: [Framing] = [
        .lengthPrefixed(.oneByte), .lengthPrefixed(.twoBytes, .littleEndian), .delimited(by: [45, 45]),
      ]
      return switch Int.random(in: 0..<9, using: &random) {
      case 0: .read(count)
      case 1: .peek(count)
      case 2: .exactly(count)
      case 3: .skip(count)
      case 4: .until([[10], [13, 10], [45, 45, 45]].randomElement(using: &random)!)
      case 5, 6: .frame(framings.randomElement(using: &random)!)
      default: .line
      }
    }

    func answer(of reader: BufferedReader<Scripted>) async -> Answer {
      do throws(IoError) {
        switch self {
        case .read(let count): return .some(try await reader.read(upTo: count))
        case .peek(let count): return .bytes(try await reader.peek(count))
        case .exactly(let count): return .bytes(try await reader.readExactly(count))
        case .skip(let count): return .count(try await reader.skip(count))
        case .line: return .some(try await reader.readLine().map { Array($0.utf8) })
        case .until(let delimiter): return .some(try await reader.readUntil(delimiter))
        case .frame(let framing): return .some(try await reader.readFrame(framing))
        }
      } catch {
        return .error(error.code)
      }
    }
  }

  enum Answer: Equatable {
    case bytes([UInt8]), count(Int), end, error(IoError.Code)
    static func some(_ bytes: [UInt8]?) -> Answer { bytes.map { .bytes($0) } ?? .end }
  }

  private var rest: ArraySlice<UInt8>
  private let maximum: Int

  init(_ bytes: [UInt8], maximumLength: Int) {
    rest = bytes[...]
    maximum = maximumLength
  }

  var isAtEnd: Bool { rest.isEmpty }

  /// Whether `answer` is right; goes on behind it.
  mutating func takes(_ answer: Answer, to request: Request) -> Bool {
    switch request {
    case .read(let count):
      guard case .bytes(let bytes) = answer else { return answer == .end && rest.isEmpty }
      return (1...count).contains(bytes.count) && take(bytes.count) == bytes
    case .peek(let count):
      return answer == (count > maximum ? .error(.limitReached) : .bytes(Array(rest.prefix(count))))
    case .exactly(let count):
      if count > maximum { return answer == .error(.limitReached) }
      return answer == (count > rest.count ? .error(.unexpectedEnd) : .bytes(take(count)))
    case .skip(let count): return answer == .count(take(min(count, rest.count)).count)
    case .line: return answer == line()
    case .until(let delimiter): return answer == until(delimiter)
    case .frame(let framing): return answer == frame(framing)
    }
  }

  private mutating func take(_ count: Int) -> [UInt8] {
    defer { rest = rest.dropFirst(count) }
    return Array(rest.prefix(count))
  }

  private mutating func line() -> Answer {
    if rest.isEmpty { return .end }
    var line = rest
    if let end = rest.firstIndex(of: 10) {
      line = rest[..<end]
      if line.last == 13 { line = line.dropLast() }
      rest = rest[(end + 1)...]
    } else {
      rest = []
    }
    if line.count > maximum { return .error(.limitReached) }
    return String(validating: line, as: UTF8.self) == nil ? .error(.malformed) : .bytes(Array(line))
  }

  private mutating func until(_ delimiter: [UInt8]) -> Answer {
    guard let range = rest.firstRange(of: delimiter) else {
      let last = take(rest.count)
      if last.isEmpty { return .end }
      return last.count > maximum ? .error(.limitReached) : .bytes(last)
    }
    let length = range.lowerBound - rest.startIndex
    let piece = take(length + delimiter.count)
    return length > maximum ? .error(.limitReached) : .bytes(piece)
  }

  private mutating func frame(_ framing: Framing) -> Answer {
    if framing == .delimited(by: [45, 45]) {
      guard rest.firstRange(of: [45, 45]) != nil || rest.count - 1 > maximum else { return endOfFrames() }
      guard case .bytes(let bytes) = until([45, 45]) else { return .error(.limitReached) }
      return .bytes(bytes.dropLast(2))
    }
    let width = framing == .lengthPrefixed(.oneByte) ? 1 : 2
    if rest.count < width { return endOfFrames() }
    let header = take(width)
    let length = width == 1 ? Int(header[0]) : Int(header[0]) + Int(header[1]) << 8
    if length > maximum {
      _ = take(min(length, rest.count))
      return .error(.limitReached)
    }
    if rest.count < length {
      rest = []
      return .error(.unexpectedEnd)
    }
    return .bytes(take(length))
  }

  private mutating func endOfFrames() -> Answer {
    if rest.isEmpty { return .end }
    rest = []
    return .error(.unexpectedEnd)
  }
}
