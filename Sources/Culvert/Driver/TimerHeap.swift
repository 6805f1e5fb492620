// SPDX-License-Identifier: Apache-2.0
// Deadlines in order: a binary heap whose entries can be taken out from the middle. Pure.

/// Elements with a deadline each and a key to cancel by.
struct TimerHeap<Element> {
  private struct Slot {
    var deadline: UInt64
    /// Among equal deadlines the first to come goes first.
    var order: UInt64
    var key: UInt
    var position: Int
    var element: Element?
  }
  private var slots: [Slot] = []
  private var spareSlots: [Int] = []
  /// Slot numbers; the earliest deadline is at 0.
  private var heap: [Int] = []
  private var slotOfKey: [UInt: Int] = [:]
  private var nextOrder: UInt64 = 0

  var count: Int { heap.count }
  var earliest: UInt64? { heap.first.map { slots[$0].deadline } }
  /// For how many elements there is memory.
  var room: Int { slots.capacity }

  /// `key` must not be in use.
  mutating func insert(_ element: Element, key: UInt, deadline: UInt64) {
    let slot = Slot(deadline: deadline, order: nextOrder, key: key, position: heap.count, element: element)
    nextOrder &+= 1
    let index: Int
    if let spare = spareSlots.popLast() {
      slots[spare] = slot
      index = spare
    } else {
      slots.append(slot)
      index = slots.count - 1
    }
    slotOfKey[key] = index
    heap.append(index)
    siftUp(heap.count - 1)
  }

  func deadline(of key: UInt) -> UInt64? { slotOfKey[key].map { slots[$0].deadline } }

  mutating func remove(key: UInt) -> Element? {
    guard let index = slotOfKey[key] else { return nil }
    return remove(at: slots[index].position)
  }

  /// Takes out the earliest element if it is due.
  mutating func popDue(at now: UInt64) -> Element? {
    guard let earliest, earliest <= now else { return nil }
    return remove(at: 0)
  }

  /// Takes out everything, in no order.
  mutating func removeAll() -> [Element] {
    let all = heap.compactMap { slots[$0].element }
    self = TimerHeap()
    return all
  }

  private mutating func remove(at position: Int) -> Element? {
    let index = heap[position]
    let last = heap.removeLast()
    if last != index {
      heap[position] = last
      slots[last].position = position
      siftUp(position)
      siftDown(slots[last].position)
    }
    let element = slots[index].element
    slots[index].element = nil
    slotOfKey[slots[index].key] = nil
    spareSlots.append(index)
    if slots.count > 1024, heap.count < slots.count / 8 { shrink() }
    return element
  }

  /// After a burst of timers the memory goes back, though some of them stay. So seldom that a timer pays nothing for it.
  private mutating func shrink() {
    var smaller = TimerHeap()
    smaller.nextOrder = nextOrder
    // Everything stays at its position.
    for (position, index) in heap.enumerated() {
      smaller.slotOfKey[slots[index].key] = position
      smaller.slots.append(slots[index])
      smaller.heap.append(position)
    }
    self = smaller
  }

  private func precedes(_ a: Int, _ b: Int) -> Bool {
    (slots[a].deadline, slots[a].order) < (slots[b].deadline, slots[b].order)
  }

  private mutating func siftUp(_ start: Int) {
    var child = start
    while child > 0 {
      let parent = (child - 1) / 2
      guard precedes(heap[child], heap[parent]) else { break }
      swap(child, parent)
      child = parent
    }
  }

  private mutating func siftDown(_ start: Int) {
    var parent = start
    while true {
      var least = parent
      for child in 2 * parent + 1...2 * parent + 2 where child < heap.count {
        if precedes(heap[child], heap[least]) { least = child }
      }
      if least == parent { return }
      swap(parent, least)
      parent = least
    }
  }

  private mutating func swap(_ a: Int, _ b: Int) {
    heap.swapAt(a, b)
    slots[heap[a]].position = a
    slots[heap[b]].position = b
  }
}
