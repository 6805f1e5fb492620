// SPDX-License-Identifier: Apache-2.0
// Facts of reading: waiting, room, cancellation.

import Culvert

extension Scene {
  func readWaits() async throws {
    async let outcome = outcomeOfReading()
    await settle()
    try await write(0..<3, thenMark: true)
    var intake = intake
    // The mark may have come with the rest, or is still to come.
    let first = try await outcome.get()
    if first.isEmpty { throw Unmet("the end came before what was written") }
    let isMarked = first.last == TestBytes.mark
    try intake.note(isMarked ? first.dropLast() : first)
    let count = isMarked ? intake.count : try await intake.readToMark()
    if count != 3 { throw Unmet("3 bytes were written, and \(count) came") }
  }

  func noRoom() async throws {
    var intake = intake
    let room = Room()
    for round in 0..<2 {
      let some = try await room.read(from: way.reader, most: 0)
      if !some.isEmpty { throw Unmet("returned \(some.count)") }
      if round == 0 { try await write(0..<3, thenMark: true) }
      await settle()
    }
    let count = try await intake.readToMark()
    if count != 3 { throw Unmet("3 bytes were written, and \(count) came") }
  }

  /// The buffer lies in the middle of some memory, and has some bytes already.
  func appends() async throws {
    let (start, used, most, filler): (_, _, _, UInt8) = (16, 5, 27, 0xEE)
    async let written: Void = write(0..<100, thenMark: true)
    let room = Room(128)
    unsafe room.storage.initializeMemory(as: UInt8.self, repeating: filler)
    let count = try unsafe await room.fill(from: way.reader, most: most, behind: used, at: start).count
    if !(1...most).contains(count) { throw Unmet("with room for \(most) bytes \(count) came") }
    let all = unsafe Array(room.storage)
    let isUntouched = (all[..<(start + used)] + all[(start + used + most)...]).allSatisfy { $0 == filler }
    if !isUntouched { throw Unmet("memory was written that is not the buffer's room") }
    var intake = intake
    try intake.note(Array(all[(start + used)...].prefix(count)))
    let total = try await intake.readToMark()
    try await written
    if total != 100 { throw Unmet("100 bytes were written, and \(total) came") }
  }

  func cancelledRead() async throws {
    var (intake, sent) = (intake, 0)
    for round in 0..<40 {
      // First all that is there is read, later something is always left.
      let (size, most) = round < 20 ? (1 + round % 10, 100) : (2, 1)
      let range = sent..<sent + size
      let outcome = try await cancelling {
        await outcomeOfReading(most: most)
      } after: {
        switch round % 5 {
        // It waits and is given nothing; is given something and cancelled at once; has had time to take it.
        case 0: await settle()
        case 1:
          await settle()
          try await write(range)
        case 2: try await write(range)
        case 3:
          try await write(range)
          await settle()
        default: break
        }
      }
      try note(outcome, in: &intake)
      if [0, 4].contains(round % 5) { try await write(range) }
      sent = range.upperBound
    }
    try await expect(sent, in: &intake)
  }

  func readOfCancelled() async throws {
    var (intake, sent) = (intake, 0)
    // All that is there at first, then a part of it, and again and again when nothing is left.
    let rounds = [(3, 100), (0, 100), (10, 2), (10, 2), (0, 100), (0, 100), (5, 5), (0, 5), (1, 1)]
    for _ in 0..<5 {
      for (size, most) in rounds {
        if size > 0 { try await write(sent..<sent + size) }
        await settle()
        try note(try await cancelledBefore { await outcomeOfReading(most: most) }, in: &intake)
        sent += size
      }
      // Some streams try only while they think that there is something: one that filled its room thinks so.
      try await intake.read(sent - intake.count)
    }
    try await expect(sent, in: &intake)
  }

  /// Counts what a read has given that may have been cancelled.
  private func note(_ outcome: Result<[UInt8], any Error>, in intake: inout Intake) throws {
    switch outcome {
    case .success([]): throw Unmet("the end came after \(intake.count) bytes")
    case .success(let some): try intake.note(some)
    case .failure(let error as IoError):
      try (error as IoError?).expect(.cancelled, during: "a cancelled read")
    case .failure(let error): throw error
    }
  }

  private func expect(_ sent: Int, in intake: inout Intake) async throws {
    try await mark()
    let count = try await intake.readToMark()
    if count != sent { throw Unmet("\(sent) bytes were written, and \(count) came") }
  }
}
