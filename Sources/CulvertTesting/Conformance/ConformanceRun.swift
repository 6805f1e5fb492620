// SPDX-License-Identifier: Apache-2.0
// Runs checks one after the other. Each is a task of its own, so that one that hangs can be left behind.

import Culvert

/// One direction of a connection.
struct Way: Sendable {
  let writer: any ByteWriter & Sendable
  let reader: any ByteReader & Sendable
  /// Nothing happens if closing is not to be looked at.
  let closeWriter: @Sendable () -> Void
  let closeReader: @Sendable () -> Void

  init(
    _ writer: any ByteWriter & Sendable, _ reader: any ByteReader & Sendable,
    closeWriter: @escaping @Sendable () -> Void, closeReader: @escaping @Sendable () -> Void
  ) {
    self.writer = writer
    self.reader = reader
    self.closeWriter = closeWriter
    self.closeReader = closeReader
  }
}

/// What does not hold.
struct Unmet: Error {
  let seen: String
  init(_ seen: String) { self.seen = seen }
}

/// No streams could be had to look at.
private struct NoStreams: Error {
  let reason: any Error
}

struct ConformanceRun: Sendable {
  typealias Connect = @Sendable () async throws -> (there: Way, back: Way?)

  let limit: Duration
  let bytes: TestBytes

  init(limit: Duration, plenty: Int) {
    self.limit = limit
    bytes = TestBytes(plenty: plenty)
  }

  func report(
    on facts: Set<StreamConformance.Fact>, directions: [String], canClose: Bool, _ connect: @escaping Connect
  ) async throws -> StreamConformance.Report {
    var (held, leftOut): ([StreamConformance.Fact], [StreamConformance.Fact]) = ([], [])
    var failures: [StreamConformance.Failure] = []
    for check in ConformanceCheck.all where facts.contains(check.fact) {
      if check.isOfClosing && !canClose || check.isOfTwoWays && directions.count < 2 {
        leftOut.append(check.fact)
        continue
      }
      let before = failures.count
      for (number, direction) in directions.enumerated() {
        let seen = try await run(check) {
          let (there, back) = try await connect()
          if number == 0 { return (there, back) }
          return (back ?? there, there)
        }
        if let seen { failures.append(.init(fact: check.fact, direction: direction, seen: seen)) }
      }
      if failures.count == before { held.append(check.fact) }
    }
    return .init(held: held, failures: failures, leftOut: leftOut)
  }

  /// What was seen if the check failed.
  private func run(_ check: ConformanceCheck, _ connect: @escaping Connect) async throws -> String? {
    let trial = Trial()
    let bytes = bytes
    let task = Self.start {
      await trial.run {
        let ways: (there: Way, back: Way?)
        do { ways = try await connect() } catch { throw NoStreams(reason: error) }
        let scene = Scene(way: ways.there, back: ways.back, bytes: bytes)
        trial.scene.withLock { $0 = scene }
        try await check.body(scene)
      }
    }
    let isOver = await trial.isOver(within: limit)
    trial.scene.withLock { $0 }?.close()
    if !isOver {
      task.cancel()
      let isGone = await trial.isOver(within: min(limit, .seconds(1)))
      if Task.isCancelled { throw IoError(.cancelled, during: "check a stream") }
      return "did not end within \(limit)"
        + (isGone ? "" : ", nor when it was cancelled and its streams were closed")
    }
    switch trial.result.withLock({ $0 }) {
    case .failure(let error as NoStreams): throw error.reason
    case .failure(let error as Unmet): return error.seen
    case .failure(let error): return "threw \"\(error)\""
    case .success, nil: return nil
    }
  }

  /// A task of its own, on the calling worker.
  private static func start(_ body: @escaping @concurrent @Sendable () async -> Void) -> Task<Void, any Error>
  {
    if let worker = Worker.current, let runtime = Runtime.current { return runtime.spawn(on: worker, body) }
    return Task { await body() }
  }
}

/// A check under way.
private final class Trial: Sendable {
  let scene = Locked<Scene?>(nil)
  let result = Locked<Result<Void, any Error>?>(nil)
  private let end = Gate()

  func run(_ body: () async throws -> Void) async {
    let result: Result<Void, any Error>
    do { result = .success(try await body()) } catch { result = .failure(error) }
    self.result.withLock { $0 = result }
    end.open()
  }

  func isOver(within limit: Duration) async -> Bool {
    try? await withTimeout(limit) { try await end.passed() }
    return result.withLock { $0 } != nil
  }
}
