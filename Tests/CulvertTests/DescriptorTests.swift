// SPDX-License-Identifier: Apache-2.0
import CCulvert
import CulvertTesting
import Testing

@testable import Culvert

@Suite(.timeLimit(watchdog)) struct DescriptorTests {
  private func highDescriptor(_ index: Int) throws -> Int32 {
    let (mine, theirs) = try socketPair()
    close(theirs)
    return try raise(mine, to: index)
  }

  @Test func `closing waits for the last use`() throws {
    let fd = try highDescriptor(1)
    let descriptor = Descriptor(adopting: fd)
    #expect(descriptor.acquire())
    #expect(descriptor.acquire())
    #expect(descriptor.close())
    #expect(culvert_is_open(fd))
    descriptor.release()
    #expect(culvert_is_open(fd))
    descriptor.release()
    #expect(!culvert_is_open(fd))
  }

  @Test func `a closed descriptor gives no use, and closing again changes nothing`() throws {
    let fd = try highDescriptor(2)
    let descriptor = Descriptor(adopting: fd)
    #expect(descriptor.close())
    #expect(!descriptor.acquire())
    #expect(!culvert_is_open(fd))
    let again = try highDescriptor(2)  // somebody else has the number now
    #expect(!descriptor.close())
    #expect(culvert_is_open(again))
    close(again)
  }

  @Test func `dropping an open descriptor closes it`() throws {
    let fd = try highDescriptor(3)
    do { _ = Descriptor(adopting: fd) }
    #expect(!culvert_is_open(fd))
  }

  @Test func `a disowned descriptor stays open, and its number can be claimed by another`() throws {
    let fd = try highDescriptor(4)
    do {
      let descriptor = Descriptor(adopting: fd)
      try descriptor.claim(during: "test")
      descriptor.disown()
    }
    #expect(culvert_is_open(fd))
    let next = Descriptor(adopting: fd)
    try next.claim(during: "test")
    next.close()
    #expect(!culvert_is_open(fd))
  }

  @Test func `a number can be claimed once, and again when its descriptor is closed`() throws {
    let fd = try highDescriptor(5)
    let first = Descriptor(adopting: fd)
    try first.claim(during: "test")
    let second = Descriptor(adopting: fd)
    #expect { try second.claim(during: "register twice") } throws: {
      ($0 as? IoError)?.code == .alreadyRegistered
    }
    second.disown()
    first.close()
    let third = Descriptor(adopting: try highDescriptor(5))
    try third.claim(during: "test")
    third.close()
  }

  @Test func `many threads use and close it at once: it is closed once, after the last use`() async throws {
    for round in 0..<200 {
      let fd = try highDescriptor(6)
      let descriptor = Descriptor(adopting: fd)
      let closings = Tally()
      await withDiscardingTaskGroup { group in
        for index in 0..<8 {
          group.addTask {
            for _ in 0..<50 where descriptor.acquire() {
              #expect(culvert_is_open(fd))
              descriptor.release()
            }
            if index % 2 == round % 2, descriptor.close() { closings.add() }
          }
        }
      }
      #expect(closings.value == 1)
      #expect(!culvert_is_open(fd))
    }
  }
}
