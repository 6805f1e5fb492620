// SPDX-License-Identifier: Apache-2.0
// The owners of the tasks that live on one thread, by task: a hash table whose chains run through the owners themselves. A
// dictionary would take twice the memory for each connection, and its hash more time than all else that is done here.

/// Owners by their tasks, each until it is removed. Safe from any thread: a task may end its scope elsewhere, when its worker has ended.
final class TaskOwnerTable: Sendable {
  private let chains = Locked(TaskOwnerChains())

  /// The owner that has that task now. It lasts while that task is in its scope.
  subscript(task: TaskIdentity) -> TaskOwner? { chains.withLock { $0[task] } }

  func insert(_ owner: TaskOwner) { chains.withLock { $0.insert(owner) } }

  /// Removes an owner, if it is here.
  func remove(_ owner: TaskOwner) { chains.withLock { $0.remove(owner) } }

  var count: Int { chains.withLock { $0.count } }
  var capacity: Int { chains.withLock { $0.capacity } }
}

private struct TaskOwnerChains: ~Copyable {
  private var chains = empty(capacity: leastCapacity)
  private(set) var count = 0

  /// How long a chain is on average, at most. What is looked up here are waits that take the long way.
  private static var perChain: Int { 4 }
  /// Room for that many is there from the start.
  private static var leastCapacity: Int { 64 }
  /// Room for that many is kept.
  private static var keptCapacity: Int { 4096 }

  var capacity: Int { chains.count * Self.perChain }

  private static func empty(capacity: Int) -> [TaskOwner?] {
    Array(repeating: nil, count: capacity / perChain)
  }

  /// Tasks lie 16 bytes apart at least. The factor spreads them over the upper bits.
  private func index(of task: TaskIdentity) -> Int {
    let spread = UInt64(task.address >> 4) &* 0x9E37_79B9_7F4A_7C15
    return Int(spread >> 32) & (chains.count - 1)
  }

  subscript(task: TaskIdentity) -> TaskOwner? {
    var owner = chains[index(of: task)]
    while let found = owner {
      if found.task == task { return found }
      owner = found.next
    }
    return nil
  }

  mutating func insert(_ owner: TaskOwner) {
    if count >= capacity { resize(to: capacity * 2) }
    link(owner)
    count += 1
  }

  /// What a burst of tasks took goes back.
  mutating func remove(_ owner: TaskOwner) {
    let index = index(of: owner.task)
    if chains[index] == owner {
      chains[index] = owner.next
    } else {
      var before = chains[index]
      while let found = before, found.next != owner { before = found.next }
      guard let before else { return }
      before.next = owner.next
    }
    count -= 1
    if capacity > Self.keptCapacity, count < capacity / 8 { resize(to: capacity / 4) }
  }

  private mutating func link(_ owner: TaskOwner) {
    let index = index(of: owner.task)
    owner.next = chains[index]
    chains[index] = owner
  }

  private mutating func resize(to capacity: Int) {
    let old = chains
    chains = Self.empty(capacity: capacity)
    for first in old {
      var owner = first
      while let found = owner {
        owner = found.next
        link(found)
      }
    }
  }
}
