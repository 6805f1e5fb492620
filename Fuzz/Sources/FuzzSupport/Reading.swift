// SPDX-License-Identifier: Apache-2.0
// One run of a reader beside its definition.

import Culvert

/// An input is: which maximum, how the bytes are cut, how many requests, the requests, and then the bytes of the stream.
public struct Reading {
  private let maximum: Int
  private let cut: UInt8
  private let requests: [Request]
  private let bytes: ArraySlice<UInt8>

  /// `Int.max` is what somebody gives who wants no bound.
  private static let maxima = [1, 2, 3, 5, 8, 20, 100, 4096, 65_536, Int.max]

  /// - Parameter request: makes a request out of two bytes.
  public init?(_ input: ArraySlice<UInt8>, request: (UInt8, UInt8) -> Request) {
    var input = input
    guard let first = input.popFirst(), let cut = input.popFirst(), let number = input.popFirst() else {
      return nil
    }
    maximum = Self.maxima[Int(first) % Self.maxima.count]
    self.cut = cut
    var requests: [Request] = []
    for _ in 0..<number % 5 {
      guard let kind = input.popFirst(), let argument = input.popFirst() else { break }
      requests.append(request(kind, argument))
    }
    self.requests = requests.isEmpty ? [request(0, 0)] : requests
    bytes = input
  }

  /// Repeats the requests until the stream is at its end; each answer must be the definition's, and no more be held than
  /// that takes.
  public func run() async {
    let source = ScriptedReader(bytes, cut: cut)
    let reader = BufferedReader(source, maximumLength: maximum)
    var model = Model(bytes, maximum: reader.maximumLength)
    var mostHeld = reader.maximumLength
    for _ in 0...bytes.count + 2 {
      let wasAtEnd = model.rest.isEmpty
      for request in requests {
        mostHeld = max(mostHeld, request.limit)
        source.mayInterrupt = request.maySurviveCancellation
        let answer = await request.answer(of: reader)
        check(model.accepts(answer, to: request), "\(answer) is wrong for \(request), at most \(maximum)")
        // A length or a mark comes on top.
        let held = reader.bufferedCount
        check(held - 16 <= mostHeld, "\(held) bytes held after \(request), at most \(maximum)")
      }
      if wasAtEnd { return }
    }
  }
}

extension Request {
  /// What it may hold, whatever the maximum is.
  fileprivate var limit: Int { if case .toEnd(let limit) = self { limit } else { 0 } }
}
