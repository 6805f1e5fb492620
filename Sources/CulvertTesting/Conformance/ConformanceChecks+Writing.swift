// SPDX-License-Identifier: Apache-2.0
// Facts of writing: order, room, turns, cancellation.

import Culvert

extension Scene {
  func emptyWrite() async throws {
    try await write(0..<0)
    try await write(0..<3)
    try await write(3..<3)
    try await mark()
    var intake = intake
    let count = try await intake.readToMark()
    if count != 3 { throw Unmet("3 bytes were written, and \(count) came") }
  }

  func order() async throws {
    let sizes = [1, 2, 3, 7, 100, 4095, 4096, 4097, 65_537, 1, 300_000, 5]
    async let written: Void = {
      var position = 0
      for size in sizes {
        try await write(position..<position + size)
        position += size
      }
      try await mark()
    }()
    var intake = intake
    let count = try await intake.readToMark(rooms: [1, 3, 17, 1000, 4096, 65_536, 30_000])
    try await written
    let total = sizes.reduce(0, +)
    if count != total { throw Unmet("\(total) bytes were written, and \(count) came") }
  }

  func fullWaits() async throws {
    let isDone = Tally()
    async let written: Void = {
      try await write(0..<plenty)
      isDone.add()
      try await mark()
    }()
    await settle()
    let wentOut = isDone.value > 0
    var intake = intake
    let count = try await intake.readToMark()
    try await written
    if wentOut { throw Unmet("\(plenty) bytes were taken, of which nobody had read one") }
    if count != plenty { throw Unmet("\(plenty) bytes were written, and \(count) came") }
  }

  /// Each write is of one byte value of its own, some so large that they have to wait in the middle.
  func wholeWrites() async throws {
    let sizes = [plenty / 2, 1, plenty / 2, 10, 1000, plenty / 4, 70_000, 1, 2, 3]
    try await withThrowingTaskGroup { group in
      for (number, size) in sizes.enumerated() {
        let piece = [UInt8](repeating: UInt8(number), count: size)[...]
        group.addTask { try await way.writer.write(unsafe piece.span.bytes) }
        // Now and then they come one after the other, else at once.
        if number < 4 { await settle() }
      }
      var (runs, left) = (Runs(), sizes.reduce(0, +))
      let room = Room()
      while left > 0 {
        let some = try unsafe await room.fill(from: way.reader, most: room.storage.count)
        if unsafe some.isEmpty { throw Unmet("the end came before \(left) of the bytes") }
        left -= some.count
        unsafe runs.append(some)
      }
      try await group.waitForAll()
      try runs.expect(sizes)
    }
  }

  func cancelledWrite() async throws {
    var (intake, sent) = (intake, 0)
    // Fewer than are written.
    for size in [0, 1, min(70_000, plenty / 2), plenty / 4] {
      let range = sent..<sent + plenty
      let outcome = try await cancelling {
        await outcomeOfWriting(range)
      } after: {
        await settle()
        try await intake.read(size)
      }
      try checkCancelled(outcome, of: range)
      sent += outcome.count
    }
    try await expect(sent, in: &intake)
  }

  func cancelledTurn() async throws {
    var intake = intake
    async let first = outcomeOfWriting(0..<plenty)
    // A byte of it is here, so it has its turn.
    try await intake.read(1)
    // If the first one could not wait, this one did not either, and all of it may go out.
    let range = plenty..<plenty + 100
    let second = try await cancelling {
      await outcomeOfWriting(range)
    } after: {
      await settle()
    }
    try checkCancelled(second, of: range)
    try await intake.read(plenty - 1)
    if let error = await first.error { throw error }
    try await expect(plenty + second.count, in: &intake)
  }

  func writeOfCancelled() async throws {
    let outcome = try await cancelledBefore { await outcomeOfWriting(0..<1000) }
    try checkCancelled(outcome, of: 0..<1000)
    var intake = intake
    try await expect(outcome.count, in: &intake)
  }

  private func checkCancelled(_ outcome: (count: Int, error: IoError?), of range: Range<Int>) throws {
    if outcome.error != nil { try outcome.error.expect(.cancelled, during: "a cancelled write") }
    if !(0...range.count).contains(outcome.count) {
      throw Unmet("of \(range.count) bytes \(outcome.count) are said to have gone out")
    }
  }

  /// That many bytes have gone out in all, of which some may have been read.
  private func expect(_ sent: Int, in intake: inout Intake) async throws {
    async let marked: Void = mark()
    let count = try await intake.readToMark()
    try await marked
    if count != sent { throw Unmet("\(sent) bytes are said to have gone out, and \(count) came") }
  }
}

/// How often each byte came without another in between.
private struct Runs {
  private var runs: [(byte: UInt8, count: Int)] = []

  mutating func append(_ bytes: UnsafeRawBufferPointer) {
    var start = 0
    while start < bytes.count {
      let byte = unsafe bytes[start]
      let count = unsafe Self.length(of: byte, in: UnsafeRawBufferPointer(rebasing: bytes[start...]))
      if let last = runs.last, last.byte == byte {
        runs[runs.count - 1].count += count
      } else {
        runs.append((byte, count))
      }
      start += count
    }
  }

  func expect(_ sizes: [Int]) throws {
    for (byte, count) in runs where Int(byte) >= sizes.count || count != sizes[Int(byte)] {
      let size = Int(byte) < sizes.count ? sizes[Int(byte)] : 0
      throw Unmet("of a write of \(size) bytes \(count) came in one piece")
    }
    if runs.count != sizes.count { throw Unmet("\(sizes.count) writes came in \(runs.count) pieces") }
  }

  private static func length(of byte: UInt8, in bytes: UnsafeRawBufferPointer) -> Int {
    // All are the same if each is as the one before.
    let (first, second) = unsafe (bytes.dropLast(), bytes.dropFirst())
    if unsafe UnsafeRawBufferPointer(rebasing: first).isSame(as: UnsafeRawBufferPointer(rebasing: second)) {
      return bytes.count
    }
    var count = 0
    while unsafe count < bytes.count && bytes[count] == byte { count += 1 }
    return count
  }
}
