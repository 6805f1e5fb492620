// SPDX-License-Identifier: Apache-2.0
// A poll handle is used again for the next descriptor with its number. It must watch that one and no other, tell nobody of the
// one before, and not be used where libuv might find that it can't watch: then it aborts the process.
import CCulvert
import CulvertTesting
import Foundation
import Testing

@testable import Culvert

/// A socket that is watched, and what was told of it.
private final class Watched: UvPollTarget, @unchecked Sendable {
  private(set) var events: [UInt8] = []
  private(set) var isLetGo = false
  let peer: Int32

  /// Its number is one that nobody else is given.
  init() throws {
    let (mine, theirs) = try socketPair()
    peer = theirs
    super.init(adopting: try raise(mine, to: 50))
  }

  deinit { Culvert.Syscalls.close(peer) }

  override func polled(events: UInt8, failed: Bool) { self.events.append(failed ? 0xff : events) }
  override func pollClosed() { isLetGo = true }
}

/// Not with the versions of libuv that are late with what is to be watched no more.
let keepsPollHandles = !UvVersion.delaysDeletes(UvVersion.loaded)

@Suite(.timeLimit(watchdog)) struct UvPollPoolTests {
  /// In a process of its own: what others watch counts.
  private static func onLoop(_ body: (UvLoop) throws -> Void) throws {
    setWatchdog()
    let loop = try UvLoop()
    loop.enter()
    defer { loop.leave() }
    try body(loop)
    loop.close()
  }

  @Test(.enabled(if: keepsPollHandles))
  func `a handle is used again for its number, and tells of the new descriptor alone`() async {
    await #expect(processExitsWith: .success) {
      try UvPollPoolTests.onLoop { loop in
        var last: Watched?
        for round in 0..<4 {
          let socket = try Watched()
          let poll = try UvPoll(loop, socket, isPollable: true)
          #expect(loop.polls.count == 0)
          loop.run(wait: false)
          #expect(socket.events.isEmpty)
          poll.arm(UvPoll.readable, insteadOf: 0)
          #expect(writeByte(socket.peer))
          loop.run(wait: false)
          #expect(socket.events == [UvPoll.readable])
          if let last { #expect(last.events == [UvPoll.readable] && last.isLetGo) }
          poll.close(armed: UvPoll.readable)
          #expect(loop.polls.count == 1 && socket.isLetGo && WatchCount.ofProcess.count == 0)
          // A byte is there to be read, and nobody is told.
          for _ in 0..<round { loop.run(wait: false) }
          #expect(socket.events == [UvPoll.readable])
          socket.close()
          last = socket
        }
      }
    }
  }

  @Test(.enabled(if: keepsPollHandles))
  func `what is not surely pollable, or one more than ever, or finds its handle kept, has one of its own`()
    async
  {
    await #expect(processExitsWith: .success) {
      try UvPollPoolTests.onLoop { loop in
        for isLetGoAtOnce in [true, false] {
          let socket = try Watched()
          let poll = try UvPoll(loop, socket, isPollable: false)
          #expect(loop.polls.count == (isLetGoAtOnce ? 0 : 1))
          poll.arm(UvPoll.writable, insteadOf: 0)
          loop.run(wait: false)
          #expect(socket.events == [UvPoll.writable])
          poll.close(armed: UvPoll.writable)
          #expect(socket.isLetGo == isLetGoAtOnce && loop.polls.count == 1)
          loop.run(wait: false)
          #expect(socket.isLetGo && socket.events == [UvPoll.writable])
          socket.close()
        }
        // One was watched before, at most. Now somebody else is.
        WatchCount.ofProcess.add(1)
        let socket = try Watched()
        let poll = try UvPoll(loop, socket, isPollable: true)
        #expect(loop.polls.count == 1)
        poll.close(armed: 0)
      }
    }
  }

  @Test(.enabled(if: keepsPollHandles))
  func `a handle that libuv has stopped, for an error, is used again`() async {
    await #expect(processExitsWith: .success) {
      try UvPollPoolTests.onLoop { loop in
        let udp = try Socket.datagram(for: .ipv4, during: "test")
        final class Plain: UvPollTarget, @unchecked Sendable {
          var failures = 0
          override func polled(events: UInt8, failed: Bool) { failures += failed ? 1 : 0 }
        }
        let refused = Plain(adopting: try raise(udp, to: 50))
        let address = SocketAddress.loopback(port: 1)
        try unsafe address.withSockaddr { _ = unsafe connect(refused.number, $0, $1) }
        let poll = try UvPoll(loop, refused, isPollable: true)
        poll.arm(UvPoll.readable, insteadOf: 0)
        _ = writeByte(refused.number)
        loop.run(wait: true)
        #expect(refused.failures == 1 && WatchCount.ofProcess.count == 0)
        poll.close(armed: 0)
        refused.close()
        let socket = try Watched()
        let next = try UvPoll(loop, socket, isPollable: true)
        #expect(loop.polls.count == 0)
        next.arm(UvPoll.writable, insteadOf: 0)
        loop.run(wait: false)
        #expect(socket.events == [UvPoll.writable])
        next.close(armed: UvPoll.writable)
      }
    }
  }

  @Test func `a pool keeps as many handles as it may, each for its number`() {
    var pool = UvPollPool(capacity: 2)
    let (one, other) = (UvPollPool.Handle.allocate(capacity: 1), UvPollPool.Handle.allocate(capacity: 1))
    var facts = [unsafe pool.take(7) == nil]
    unsafe pool.keep(one, for: 7)
    facts += [!pool.hasRoom(for: 7), pool.hasRoom(for: 8)]
    unsafe pool.keep(other, for: 3)
    facts += [
      !pool.hasRoom(for: 8), unsafe pool.take(8) == nil, unsafe pool.take(7) == one,
      unsafe pool.take(7) == nil,
    ]
    facts += [pool.hasRoom(for: 7), pool.count == 1, unsafe pool.removeAll() == [other], pool.count == 0]
    pool = UvPollPool(capacity: 0)
    facts.append(!pool.hasRoom(for: 1))
    #expect(facts == Array(repeating: true, count: 12))
    unsafe one.deallocate()
    unsafe other.deallocate()
  }

  @Test func `one more is watched without a test only where that many were watched before`() {
    let count = WatchCount()
    #expect(!count.surelyHasRoom)
    count.noteRoom()
    #expect(count.surelyHasRoom)
    count.add(1)
    #expect(!count.surelyHasRoom)
    count.add(-1)
    #expect(count.surelyHasRoom)
    count.add(5)
    count.noteRoom()
    count.add(-3)
    #expect(count.surelyHasRoom)
  }
}
