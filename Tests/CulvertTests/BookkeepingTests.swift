// SPDX-License-Identifier: Apache-2.0
// The list of a driver's sources and the table of a thread's owners, which run through the records themselves, against an array
// and a dictionary.
import Synchronization
import Testing

@testable import Culvert

@Suite struct BookkeepingTests {
  @Test func `a list of sources holds what was added and not removed, in order`() {
    var random = SeededRandom(7)
    // Numbers that nobody has: they are never used, and not closed.
    let sources = (0..<60).map { RegistrationInfo(adopting: -2 - $0, isPollable: true) }
    defer { for source in sources { source.disown() } }
    var (list, expected) = (SourceList(), [RegistrationInfo]())
    for _ in 0..<5_000 {
      let source = sources[Int.random(in: 0..<60, using: &random)]
      if let index = expected.firstIndex(where: { $0 === source }) {
        list.remove(source)
        expected.remove(at: index)
      } else {
        list.remove(source)  // is not there, and stays so
        list.append(source)
        expected.append(source)
      }
      #expect(list.count == expected.count)
      #expect(list.all.elementsEqual(expected) { $0 === $1 })
    }
    list.removeAll()
    #expect(list.count == 0 && list.all.isEmpty)
  }

  @Test func `a long list goes without going down its links`() {
    var list = SourceList()
    for number in 0..<50_000 {
      let source = RegistrationInfo(adopting: Int32(-2 - number), isPollable: true)
      source.disown()
      list.append(source)
    }
    list.removeAll()
    #expect(list.count == 0)
  }

  @Test func `a table of owners finds each by its task while that lasts`() {
    var random = SeededRandom(8)
    var table = TaskOwnerTable()
    var expected: [TaskIdentity: TaskOwner] = [:]
    for _ in 0..<30_000 {
      let task = TaskIdentity(address: UInt.random(in: 1...5_000, using: &random) * 16)
      if let owner = expected.removeValue(forKey: task) {
        table.remove(owner, of: task)
      } else {
        let owner = TaskOwner()
        owner.address.store(task.address, ordering: .relaxed)
        table.insert(owner, of: task)
        expected[task] = owner
      }
      #expect(table.count == expected.count)
    }
    for number in 1...5_000 {
      let task = TaskIdentity(address: UInt(number) * 16)
      #expect(table[task] === expected[task])
    }
    for (task, owner) in expected { table.remove(owner, of: task) }
    #expect(table.count == 0 && table.capacity <= 4_096)
  }
}
