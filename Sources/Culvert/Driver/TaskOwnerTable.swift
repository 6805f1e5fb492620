// SPDX-License-Identifier: Apache-2.0
// The owners of the tasks that live on one thread, by task: a hash table whose chains run through the owners themselves. A
// dictionary would take twice the memory for each connection, and its hash more time than all else that is done here.

/// Owners by their tasks. An owner is in one table at most.
struct TaskOwnerTable: ~Copyable {
  private var chains: [TaskOwner?] = Array(repeating: nil, count: leastCapacity)
  private(set) var count = 0

  /// Room for that many is there from the start.
  private static var leastCapacity: Int { 64 }
  /// Room for that many is kept.
  private static var keptCapacity: Int { 4096 }

  var capacity: Int { chains.count }

  /// Tasks lie 16 bytes apart at least. The factor spreads them over the upper bits.
  private func index(of task: TaskIdentity) -> Int {
    let spread = UInt64(task.address >> 4) &* 0x9E37_79B9_7F4A_7C15
    return Int(spread >> 32) & (capacity - 1)
  }

  /// The owner that has that task now.
  subscript(task: TaskIdentity) -> TaskOwner? {
    var owner = chains[index(of: task)]
    while let found = owner {
      if found.owns(task) { return found }
      owner = unsafe found.next
    }
    return nil
  }

  mutating func insert(_ owner: TaskOwner, of task: TaskIdentity) {
    if count >= capacity { resize(to: capacity * 2) }
    link(owner, of: task)
    count += 1
  }

  /// Removes the owner that has that task, if it is here. What a burst of tasks took goes back.
  mutating func remove(_ owner: TaskOwner, of task: TaskIdentity) {
    let index = index(of: task)
    if chains[index] === owner {
      chains[index] = unsafe owner.next
    } else {
      var before = chains[index]
      while let found = before, unsafe found.next !== owner { before = unsafe found.next }
      guard let before else { return }
      unsafe before.next = owner.next
    }
    unsafe owner.next = nil
    count -= 1
    if capacity > Self.keptCapacity, count < capacity / 8 { resize(to: capacity / 4) }
  }

  mutating func removeAll() {
    for index in chains.indices { while let owner = takeFirst(of: index) { unsafe owner.next = nil } }
    chains = Array(repeating: nil, count: Self.leastCapacity)
    count = 0
  }

  private mutating func link(_ owner: TaskOwner, of task: TaskIdentity) {
    let index = index(of: task)
    unsafe owner.next = chains[index]
    chains[index] = owner
  }

  private mutating func takeFirst(of index: Int) -> TaskOwner? {
    guard let owner = chains[index] else { return nil }
    chains[index] = unsafe owner.next
    return owner
  }

  private mutating func resize(to capacity: Int) {
    var old = TaskOwnerTable()
    swap(&old.chains, &chains)
    chains = Array(repeating: nil, count: capacity)
    for index in old.chains.indices {
      while let owner = old.takeFirst(of: index) { link(owner, of: owner.task) }
    }
  }
}
