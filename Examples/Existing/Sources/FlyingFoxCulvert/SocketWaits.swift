// SPDX-License-Identifier: Apache-2.0
// Who waits for which socket: the pool's state, without locks and system calls.

/// What a socket can be ready for.
struct Directions: OptionSet {
  let rawValue: UInt8
  static let reading = Directions(rawValue: 1)
  static let writing = Directions(rawValue: 2)
}

/// The waits of a pool, by the number of the socket.
struct SocketWaits {
  typealias Id = UInt64

  struct Wait {
    let id: Id
    let directions: Directions
    /// When a wait to write began.
    let since: ContinuousClock.Instant?
    let continuation: CheckedContinuation<Void, any Error>
  }

  /// By number; most numbers have one wait at a time.
  private var waits: [[Wait]] = []

  /// Keeps a wait, and tells what all who wait for that socket now want together.
  mutating func keep(_ wait: Wait, for number: Int32) -> Directions {
    while waits.count <= number { waits.append([]) }
    waits[Int(number)].append(wait)
    return wanted(for: number)
  }

  /// What is waited for at that socket.
  func wanted(for number: Int32) -> Directions {
    waits[Int(number)].reduce(into: []) { $0.formUnion($1.directions) }
  }

  /// Takes out one wait; `nil` when it is over.
  mutating func take(_ id: Id, for number: Int32) -> Wait? {
    guard Int(number) < waits.count, let place = waits[Int(number)].firstIndex(where: { $0.id == id }) else {
      return nil
    }
    return waits[Int(number)].remove(at: place)
  }

  /// Takes out who waits for one of `directions`.
  mutating func take(_ directions: Directions, for number: Int32) -> [Wait] {
    takeAll(for: number) { !$0.directions.isDisjoint(with: directions) }
  }

  /// Takes out those waits at that socket.
  mutating func takeAll(for number: Int32, where isOne: (Wait) -> Bool) -> [Wait] {
    guard Int(number) < waits.count, !waits[Int(number)].isEmpty else { return [] }
    let here = waits[Int(number)]
    if here.allSatisfy(isOne) {
      waits[Int(number)] = []
      return here
    }
    waits[Int(number)].removeAll(where: isOne)
    return here.filter(isOne)
  }

  /// Takes out who has waited to write since before that.
  mutating func takeWriters(since limit: ContinuousClock.Instant) -> [Wait] {
    waits.indices.flatMap { number in
      takeAll(for: Int32(number)) { wait in wait.since.map { $0 < limit } ?? false }
    }
  }

  /// Takes out all.
  mutating func takeAll() -> [Wait] {
    defer { waits = [] }
    return waits.flatMap { $0 }
  }
}
