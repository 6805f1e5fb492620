// SPDX-License-Identifier: Apache-2.0
// The list of a driver's sources and the table of a thread's owners, which run through the records themselves, against an array
// and a dictionary.
import Synchronization
import Testing

@testable import Culvert

/// An owner in memory that is no task's.
@safe private final class OwnerAlone {
  private let memory: UnsafeMutableRawPointer
  let owner: TaskOwner

  init(of task: TaskIdentity, knownTo table: TaskOwnerTable) {
    unsafe memory = .allocate(byteCount: TaskOwner.size, alignment: 16)
    owner = unsafe TaskOwner(in: memory, of: task, knownTo: table)
  }

  deinit {
    owner.deinitialize()
    unsafe memory.deallocate()
  }
}

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
    let table = TaskOwnerTable()
    var expected: [TaskIdentity: OwnerAlone] = [:]
    for _ in 0..<30_000 {
      let task = TaskIdentity(address: UInt.random(in: 1...5_000, using: &random) * 16)
      if expected.removeValue(forKey: task) == nil {
        expected[task] = OwnerAlone(of: task, knownTo: table)
      }
      #expect(table.count == expected.count)
    }
    for number in 1...5_000 {
      let task = TaskIdentity(address: UInt(number) * 16)
      #expect(table[task] == expected[task]?.owner)
    }
    expected.removeAll()
    #expect(table.count == 0 && table.capacity <= 4_096)
  }
}
