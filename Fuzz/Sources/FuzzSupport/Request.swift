// SPDX-License-Identifier: Apache-2.0
// What a reader can be asked for, and what it may answer by the definition: plain cutting of all the bytes at once.

public import Culvert

/// Something to ask a reader for.
public enum Request {
  case line
  case until([UInt8])
  case frame(width: Framing.Width, order: Framing.ByteOrder)
  case delimitedFrame([UInt8])
  case exactly(Int)
  case peek(Int)
  case skip(Int)
  case some(Int)
  case toEnd(Int)

  /// What a cancelled call has passed over is not told.
  var maySurviveCancellation: Bool { if case .skip = self { false } else { true } }
}

/// What it answers.
enum Answer: Equatable {
  case bytes([UInt8])
  case text(String)
  case count(Int)
  case end
  case failed(IoError.Code)
}

extension Request {
  /// Asks `reader`, again when a call was cancelled.
  func answer(of reader: BufferedReader<ScriptedReader>) async -> Answer {
    while true {
      do throws(IoError) {
        return try await ask(reader)
      } catch {
        if error.code != .cancelled { return .failed(error.code) }
      }
    }
  }

  private func ask(_ reader: BufferedReader<ScriptedReader>) async throws(IoError) -> Answer {
    switch self {
    case .line: try await reader.readLine().map { .text($0) } ?? .end
    case .until(let mark): Answer(try await reader.readUntil(mark))
    case .frame(let width, let order): Answer(try await reader.readFrame(.lengthPrefixed(width, order)))
    case .delimitedFrame(let mark): Answer(try await reader.readFrame(.delimited(by: mark)))
    case .exactly(let count): .bytes(try await reader.readExactly(count))
    case .peek(let count): .bytes(try await reader.peek(count))
    case .skip(let count): .count(try await reader.skip(count))
    case .some(let most): Answer(try await reader.read(upTo: most))
    case .toEnd(let limit): .bytes(try await reader.readToEnd(limit: limit))
    }
  }
}

extension Answer {
  init(_ bytes: [UInt8]?) { self = bytes.map { .bytes($0) } ?? .end }
}
