// SPDX-License-Identifier: Apache-2.0
// The definition of a reader: what is left of all its bytes, and what each request takes of that.

import Culvert

/// What a reader must answer. Pure.
struct Model {
  private(set) var rest: ArraySlice<UInt8>
  let maximum: Int

  init(_ bytes: ArraySlice<UInt8>, maximum: Int) {
    (rest, self.maximum) = (bytes, maximum)
  }

  /// Whether that is what `request` may get next; takes it.
  mutating func accepts(_ answer: Answer, to request: Request) -> Bool {
    if case .some(let most) = request { return acceptsSome(answer, most) }
    return answer == expected(request)
  }

  /// As much as it likes, but something.
  private mutating func acceptsSome(_ answer: Answer, _ most: Int) -> Bool {
    if most <= 0 { return answer == .bytes([]) }
    if rest.isEmpty { return answer == .end }
    guard case .bytes(let some) = answer, !some.isEmpty, some.count <= most else { return false }
    return rest.prefix(some.count).elementsEqual(some) && take(some.count) == .bytes(some)
  }

  private mutating func expected(_ request: Request) -> Answer {
    switch request {
    case .line: return line()
    case .until(let mark): return piece(mark, isFrame: false)
    case .delimitedFrame(let mark): return piece(mark, isFrame: true)
    case .frame(let width, let order): return frame(width.rawValue, order)
    case .exactly(let count):
      if count > maximum { return .failed(.limitReached) }
      return rest.count < count ? .failed(.unexpectedEnd) : take(count)
    case .peek(let count): return count > maximum ? .failed(.limitReached) : .bytes(Array(rest.prefix(count)))
    case .skip(let count):
      let some = min(count, rest.count)
      rest = rest.dropFirst(some)
      return .count(some)
    case .toEnd(let limit): return rest.count > limit ? .failed(.limitReached) : take(rest.count)
    case .some: return .end
    }
  }

  private mutating func take(_ count: Int, andDrop more: Int = 0) -> Answer {
    defer { rest = rest.dropFirst(count + more) }
    return .bytes(Array(rest.prefix(count)))
  }

  private mutating func drop(_ count: Int, _ code: IoError.Code) -> Answer {
    rest = rest.dropFirst(count)
    return .failed(code)
  }

  private mutating func line() -> Answer {
    if rest.isEmpty { return .end }
    let newline = rest.firstIndex(of: UInt8(ascii: "\n"))
    var line = rest[..<(newline ?? rest.endIndex)]
    let taken = line.count + (newline == nil ? 0 : 1)
    if newline != nil, line.last == UInt8(ascii: "\r") { line = line.dropLast() }
    if line.count > maximum { return drop(taken, .limitReached) }
    guard let text = String(validating: line, as: UTF8.self) else { return drop(taken, .malformed) }
    rest = rest.dropFirst(taken)
    return .text(text)
  }

  private mutating func piece(_ mark: [UInt8], isFrame: Bool) -> Answer {
    if mark.isEmpty { return .failed(.invalidArgument) }
    if rest.isEmpty { return .end }
    let length = (0...rest.count).first { rest.dropFirst($0).starts(with: mark) }
    guard let length else {
      if isFrame { return drop(rest.count, endCode(rest.count - mark.count + 1)) }
      return rest.count > maximum ? drop(rest.count, .limitReached) : take(rest.count)
    }
    if length > maximum { return drop(length + mark.count, .limitReached) }
    return isFrame ? take(length, andDrop: mark.count) : take(length + mark.count)
  }

  /// A frame that ends too early may be too long already: that is noticed first. The mark may have begun.
  private func endCode(_ length: Int) -> IoError.Code { length > maximum ? .limitReached : .unexpectedEnd }

  private mutating func frame(_ width: Int, _ order: Framing.ByteOrder) -> Answer {
    if rest.isEmpty { return .end }
    if rest.count < width { return drop(rest.count, .unexpectedEnd) }
    var length: UInt64 = 0
    for (place, byte) in rest.prefix(width).enumerated() {
      length |= UInt64(byte) << UInt64(8 * (order == .littleEndian ? place : width - 1 - place))
    }
    if length > UInt64(maximum) { return drop(width + Int(clamping: min(length, 1 << 40)), .limitReached) }
    rest = rest.dropFirst(width)
    if rest.count < Int(length) { return drop(rest.count, .unexpectedEnd) }
    return take(Int(length))
  }
}
