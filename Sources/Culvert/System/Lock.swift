// SPDX-License-Identifier: Apache-2.0
// The lock for what takes a moment: one word, and one atomic instruction each to take it and to let go of it. (A pthread
// mutex costs four times as much and is ten times as large.) Who finds it taken looks again for a moment, then sleeps.

import CCulvert
import Synchronization

/// A lock. `key` is any number that is the lock's alone, such as the address of its owner: where its waiters sleep.
struct Lock: ~Copyable, Sendable {
  private enum Word {
    static let free: UInt32 = 0
    static let taken: UInt32 = 1
    /// Taken, and somebody may sleep.
    static let awaited: UInt32 = 2
  }
  private let word = Atomic(Word.free)

  /// How often to look again before the thread sleeps: as long as what is done under a lock may take.
  private static let looks = 100

  @inline(__always)
  func take(_ key: @autoclosure () -> UInt) {
    if !tryTake() { takeSlowly(key()) }
  }

  @inline(__always)
  func give(_ key: @autoclosure () -> UInt) {
    let before = word.exchange(Word.free, ordering: .releasing)
    if before == Word.awaited { culvert_lot_wake(key()) }
  }

  @inline(__always)
  private func tryTake() -> Bool {
    word.compareExchange(
      expected: Word.free, desired: Word.taken, successOrdering: .acquiring, failureOrdering: .relaxed
    ).exchanged
  }

  @inline(never)
  private func takeSlowly(_ key: UInt) {
    for _ in 0..<Self.looks {
      if tryTake() { return }
      culvert_pause()
    }
    while true {
      // In this order: whoever gives it back after our look has the ticket be an old one.
      let ticket = culvert_lot_ticket(key)
      // Whoever has slept can't tell whether others still do, and takes it as awaited.
      if word.exchange(Word.awaited, ordering: .acquiring) == Word.free { return }
      culvert_lot_wait(key, ticket)
    }
  }
}
