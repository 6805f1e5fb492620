// SPDX-License-Identifier: Apache-2.0
// The heap of deadlines, against an array that is kept sorted.
import Testing

@testable import Culvert

@Suite(.timeLimit(watchdog)) struct TimerHeapTests {
  private struct Entry: Equatable {
    let deadline: UInt64
    let key: UInt
  }

  @Test(arguments: 0..<30 as Range<UInt64>)
  func `it gives what a sorted array gives, whatever is put in and taken out`(seed: UInt64) throws {
    var random = SeededRandom(seed)
    var heap = TimerHeap<Entry>()
    var sorted: [Entry] = []
    var nextKey: UInt = 1
    let spread = [3, 50, UInt64.max - 1].randomElement(using: &random)!
    let growth = Int.random(in: 3...6, using: &random)  // out of 10: more goes in than out, or less
    var differences = 0
    for _ in 0..<3_000 {
      let (found, expected): (Entry?, Entry?)
      switch Int.random(in: 0..<10, using: &random) {
      case ..<growth:
        let entry = Entry(deadline: .random(in: 0...spread, using: &random), key: nextKey)
        nextKey += 1
        heap.insert(entry, key: entry.key, deadline: entry.deadline)
        // Behind its equals: the first to come goes first.
        sorted.insert(entry, at: sorted.firstIndex { $0.deadline > entry.deadline } ?? sorted.endIndex)
        (found, expected) = (nil, nil)
      case ..<8:
        let now = UInt64.random(in: 0...spread, using: &random)
        found = heap.popDue(at: now)
        expected = sorted.first.flatMap { $0.deadline <= now ? $0 : nil }
        if expected != nil { sorted.removeFirst() }
      default:
        let key = UInt.random(in: 1...nextKey, using: &random)  // may be gone, or never was
        found = heap.remove(key: key)
        expected = sorted.firstIndex { $0.key == key }.map { sorted.remove(at: $0) }
      }
      let agrees = found == expected && heap.count == sorted.count && heap.earliest == sorted.first?.deadline
      if !agrees { differences += 1 }
    }
    try #require(differences == 0)
    while !sorted.isEmpty { #expect(heap.popDue(at: .max) == sorted.removeFirst()) }
    #expect(heap.popDue(at: .max) == nil)
  }

  @Test func `what is due is what is not later than now`() {
    var heap = TimerHeap<String>()
    heap.insert("a", key: 1, deadline: 10)
    #expect(heap.popDue(at: 9) == nil)
    #expect(heap.popDue(at: 10) == "a")
    #expect(heap.earliest == nil)
  }

  @Test func `a key can be used again once its element is out`() {
    var heap = TimerHeap<String>()
    heap.insert("a", key: 7, deadline: 1)
    #expect(heap.popDue(at: 1) == "a")
    #expect(heap.remove(key: 7) == nil)
    heap.insert("b", key: 7, deadline: 2)
    #expect(heap.remove(key: 7) == "b")
    #expect(heap.count == 0)
  }

  @Test func `all can be taken out at once, and more put in later`() {
    var heap = TimerHeap<Int>()
    for round in 0..<3 {
      for number in 0..<2_000 {
        heap.insert(number, key: UInt(number + 1), deadline: UInt64(number * 7 % 13))
      }
      #expect(heap.removeAll().sorted() == Array(0..<2_000))
      #expect(heap.count == 0 && heap.earliest == nil, "round \(round)")
    }
  }

  @Test func `after a burst has gone one by one the heap works on`() {
    var heap = TimerHeap<Int>()
    for number in 0..<5_000 { heap.insert(number, key: UInt(number + 1), deadline: UInt64(number)) }
    #expect((0..<5_000).allSatisfy { heap.remove(key: UInt($0 + 1)) == $0 })
    heap.insert(1, key: 1, deadline: 5)
    heap.insert(2, key: 2, deadline: 5)
    #expect(heap.popDue(at: 5) == 1)
    #expect(heap.popDue(at: 5) == 2)
  }

  @Test(arguments: [0, 1, 300])
  func `after a burst the memory goes back, even if some of its timers stay, and those keep their order`(
    staying: Int
  ) {
    var heap = TimerHeap<Int>()
    let keys = Array(1...UInt(100_000))
    for key in keys { heap.insert(Int(key), key: key, deadline: UInt64(key * 7 % 13)) }
    #expect(heap.room >= keys.count)
    var random = SeededRandom(5)
    let shuffled = keys.shuffled(using: &random)
    for key in shuffled.dropFirst(staying) { #expect(heap.remove(key: key) == Int(key)) }
    #expect(heap.count == staying && heap.room < 16_000)
    let kept = shuffled.prefix(staying).sorted { (UInt64($0 * 7 % 13), $0) < (UInt64($1 * 7 % 13), $1) }
    heap.insert(0, key: 200_000, deadline: 12)  // behind its equals, which came before
    for key in kept { #expect(heap.popDue(at: 12) == Int(key)) }
    #expect(heap.popDue(at: 12) == 0 && heap.count == 0)
  }
}
