// SPDX-License-Identifier: Apache-2.0
// The bounded queue of one client: order, bound, end, and who is woken by what.

import ChatCore
import Testing

@Suite(.timeLimit(.minutes(1))) struct OutboxTests {
  private func text(_ bytes: [UInt8]?) -> String? {
    bytes.map { String(decoding: $0, as: UTF8.self) }
  }

  @Test func `lines come out in order, with their newlines, all at once`() async {
    let outbox = Outbox(limit: 100)
    #expect(outbox.offer("one"))
    #expect(outbox.offer("two"))
    #expect(text(await outbox.next()) == "one\ntwo\n")
  }

  @Test func `a line that fits exactly is taken, one more byte is not`() {
    let outbox = Outbox(limit: 8)
    #expect(outbox.offer("one"))
    #expect(outbox.offer("two"))
    #expect(!outbox.offer(""))
  }

  @Test func `what is being written counts until the writer asks for more`() async {
    let outbox = Outbox(limit: 4)
    #expect(outbox.offer("one"))
    _ = await outbox.next()
    #expect(!outbox.offer("two"))
    async let second = outbox.next()
    while !outbox.offer("two") { await Task.yield() }
    #expect(text(await second) == "two\n")
  }

  @Test func `a waiting writer is woken by a line`() async {
    let outbox = Outbox(limit: 100)
    async let line = outbox.next()
    #expect(outbox.offer("late"))
    #expect(text(await line) == "late\n")
  }

  @Test func `a nudge wakes a waiting writer without bytes, once`() async {
    let outbox = Outbox(limit: 100)
    async let nothing = outbox.next()
    outbox.nudge()
    #expect(await nothing == [])
    outbox.nudge()
    #expect(outbox.offer("late"))
    #expect(text(await outbox.next()) == "late\n")
    outbox.finish(saying: nil)
    #expect(await outbox.next() == nil)
  }

  @Test func `the last line has room always, and then comes the end`() async {
    let outbox = Outbox(limit: 4)
    #expect(outbox.offer("one"))
    outbox.finish(saying: "goodbye")
    #expect(text(await outbox.next()) == "one\ngoodbye\n")
    #expect(await outbox.next() == nil)
    #expect(await outbox.next() == nil)
  }

  @Test func `nothing follows the last line`() async {
    let outbox = Outbox(limit: 100)
    outbox.finish(saying: "goodbye")
    #expect(outbox.offer("too late"))
    outbox.finish(saying: "again")
    #expect(text(await outbox.next()) == "goodbye\n")
    #expect(await outbox.next() == nil)
  }

  @Test func `the end wakes all who wait`() async {
    let outbox = Outbox(limit: 4)
    #expect(outbox.offer("one"))
    async let room: Void = outbox.roomy()
    async let end: Void = outbox.finished()
    outbox.finish(saying: nil)
    _ = await (room, end)
    #expect(text(await outbox.next()) == "one\n")
  }

  @Test func `the reader goes on when half of the outbox is free`() async {
    let outbox = Outbox(limit: 8)
    await outbox.roomy()
    #expect(outbox.offer("one"))
    await outbox.roomy()
    #expect(outbox.offer("two"))
    async let room: Void = outbox.roomy()
    _ = await outbox.next()
    async let more = outbox.next()
    await room
    outbox.finish(saying: nil)
    #expect(await more == nil)
  }
}
