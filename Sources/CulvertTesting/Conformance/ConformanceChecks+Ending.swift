// SPDX-License-Identifier: Apache-2.0
// Facts of ending: of one direction, of one end, of the peer; and of two directions at once.

import Culvert

extension Scene {
  // MARK: shutdown

  func shutdownDelivers() async throws {
    try await expectAllAndTheEnd { try await way.writer.shutdown() }
  }

  func endStays() async throws {
    try await write(0..<3)
    try await way.writer.shutdown()
    var intake = intake
    _ = try await intake.readToEnd()
    for _ in 0..<3 {
      let some = try await outcomeOfReading().get()
      if !some.isEmpty { throw Unmet("after the end there came \(some.count) bytes") }
    }
  }

  func endWakes() async throws {
    async let outcome = outcomeOfReading()
    await settle()
    try await way.writer.shutdown()
    let some = try await outcome.get()
    if !some.isEmpty { throw Unmet("of nothing written there came \(some.count) bytes") }
  }

  func writeAfterShutdown() async throws {
    try await way.writer.shutdown()
    let outcome = await outcomeOfWriting(0..<3)
    try outcome.error.expect(.brokenPipe, .closed, during: "a write after shutdown()")
  }

  /// What is written before `end` is more than the stream holds.
  private func expectAllAndTheEnd(_ end: @escaping @Sendable () async throws -> Void) async throws {
    async let written: Void = {
      try await write(0..<plenty)
      try await end()
    }()
    var intake = intake
    let count = try await intake.readToEnd()
    try await written
    if count != plenty { throw Unmet("\(plenty) bytes were written, and \(count) came before the end") }
  }

  // MARK: close

  func closeDelivers() async throws {
    try await expectAllAndTheEnd { way.closeWriter() }
  }

  func closeWakesReader() async throws {
    async let outcome = outcomeOfReading()
    await settle()
    way.closeReader()
    try await outcome.expectError(.closed, during: "a read that was waiting")
  }

  func closeWakesWriter() async throws {
    async let outcome = outcomeOfWriting(0..<plenty)
    await settle()
    way.closeWriter()
    try await outcome.error.expect(.closed, during: "a write that was waiting")
  }

  func closedStays() async throws {
    for _ in 0..<2 {
      way.closeReader()
      try await outcomeOfReading().expectError(.closed, during: "a read after close()")
      way.closeWriter()
      let outcome = await outcomeOfWriting(0..<3)
      try outcome.error.expect(.closed, during: "a write after close()")
    }
  }

  func peerGone() async throws {
    way.closeReader()
    var (error, written): (IoError?, Int) = (nil, 0)
    // Who sends to the other end of the world is told later.
    while error == nil, written < plenty {
      error = await outcomeOfWriting(written..<written + 4096).error
      written += 4096
    }
    try error.expect(.brokenPipe, .connectionReset, during: "a write to a peer that is gone")
  }

  func peerGoneWakes() async throws {
    async let outcome = outcomeOfWriting(0..<plenty)
    await settle()
    way.closeReader()
    try await outcome.error.expect(.brokenPipe, .connectionReset, during: "a write that was waiting")
  }

  // MARK: two directions

  func halfClose(back: Scene) async throws {
    try await way.writer.shutdown()
    var (there, answer) = (intake, back.intake)
    _ = try await there.readToEnd()
    let size = 300_000
    async let written: Void = back.write(0..<size, thenMark: true)
    let count = try await answer.readToMark()
    try await written
    if count != size { throw Unmet("of \(size) bytes that went the other way \(count) came") }
  }

  func bothWays(back: Scene) async throws {
    async let there: Void = write(0..<plenty, thenMark: true)
    async let andBack: Void = back.write(0..<plenty, thenMark: true)
    async let otherCount = {
      var intake = back.intake
      return try await intake.readToMark()
    }()
    var intake = intake
    let counts = [try await intake.readToMark(), try await otherCount]
    try await there
    try await andBack
    if counts != [plenty, plenty] { throw Unmet("\(plenty) bytes went each way, and there came \(counts)") }
  }

  func readHoldsUpNothing(back: Scene) async throws {
    async let answer = back.outcomeOfReading()
    await settle()
    try await write(0..<3)
    var intake = intake
    try await intake.read(3)
    try await back.write(0..<1)
    let some = try await answer.get()
    if some != [TestBytes.byte(0)] { throw Unmet("the answer was \(some)") }
  }
}

extension Result where Success == [UInt8], Failure == any Error {
  /// Throws unless it is an error with this code.
  fileprivate func expectError(_ code: IoError.Code, during what: String) throws {
    switch self {
    case .success(let some): throw Unmet("\(what) gave \(some.count) bytes")
    case .failure(let error as IoError): try (error as IoError?).expect(code, during: what)
    case .failure(let error): throw error
    }
  }
}
