// SPDX-License-Identifier: Apache-2.0
// What a check does with its two ends: write, read, wait for the other side to wait, cancel.

import Culvert

/// One check's streams.
struct Scene: Sendable {
  /// The direction that is looked at.
  let way: Way
  /// The other one.
  let back: Way?
  let bytes: TestBytes

  /// More bytes than the connection holds.
  var plenty: Int { bytes.plenty }
  var intake: Intake { Intake(way.reader, bytes) }

  func close() {
    for way in [way, back].compactMap(\.self) {
      way.closeWriter()
      way.closeReader()
    }
  }

  /// Writes the stream's bytes number `range`, in one piece.
  func write(_ range: Range<Int>) async throws(IoError) { try await bytes.write(range, to: way.writer) }

  func write(_ range: Range<Int>, thenMark: Bool) async throws(IoError) {
    try await write(range)
    if thenMark { try await mark() }
  }

  /// Says that no more bytes come. Not `shutdown()`, for that is another fact.
  func mark() async throws(IoError) { try await bytes.writeMark(to: way.writer) }

  /// As `write(_:)`; returns how many bytes went out, and why not all.
  func outcomeOfWriting(_ range: Range<Int>) async -> (count: Int, error: IoError?) {
    do throws(IoError) {
      try await write(range)
      return (range.count, nil)
    } catch {
      return (error.bytesWritten, error)
    }
  }

  /// What one read gives: the bytes, none at the end.
  func outcomeOfReading(most: Int = 100) async -> Result<[UInt8], any Error> {
    do { return .success(try await Room(most).read(from: way.reader, most: most)) } catch {
      return .failure(error)
    }
  }

  /// Waits until everybody waits, where that can be known. To be counted on by no check: each must be right without.
  func settle() async {
    if let worker = Worker.current {
      // A stream that is never idle is not to hang here.
      try? await withTimeout(.milliseconds(200)) { await worker.idle() }
    } else {
      for _ in 0..<32 { await Task.yield() }
    }
  }

  /// Starts `work` as a child, and cancels it when `meanwhile` has returned.
  func cancelling<R: Sendable>(
    _ work: @escaping @Sendable () async -> R, after meanwhile: () async throws -> Void = {}
  ) async throws -> R {
    try await withThrowingTaskGroup(of: R.self) { group in
      group.addTask { await work() }
      try await meanwhile()
      group.cancelAll()
      return try await Self.first(of: &group)
    }
  }

  /// Runs `work` in a task that is cancelled before it begins.
  func cancelledBefore<R: Sendable>(_ work: @escaping @Sendable () async -> R) async throws -> R {
    try await withThrowingTaskGroup(of: R.self) { group in
      group.cancelAll()
      group.addTask { await work() }
      return try await Self.first(of: &group)
    }
  }

  private static func first<R: Sendable>(of group: inout ThrowingTaskGroup<R, any Error>) async throws -> R {
    for try await result in group { return result }
    throw CancellationError()
  }
}

extension IoError? {
  /// Throws unless it is an error with one of these codes.
  func expect(_ codes: IoError.Code..., during what: String) throws {
    guard let self else { throw Unmet("\(what) succeeded") }
    if !codes.contains(self.code) { throw Unmet("\(what) threw \"\(self)\"") }
  }
}
