// SPDX-License-Identifier: Apache-2.0
// What every stream has to be, asked of any: the suite, from its user's side.

public import Culvert

/// Whether a stream is what `ByteStream` promises: clogged, half-closed, cancelled, with nothing to write, and all at once.
///
/// ```swift
/// let report = try await StreamConformance.check { try await TcpStream.loopbackPair() }
/// #expect(report.failures.isEmpty, "\(report)")
/// ```
/// Each `Fact` is looked at with a connected pair of its own, in both directions. A check that fails, or that hangs, is a line of
/// the report, and the next one follows. No check is wrong for being early or late: on a worker that has nothing else to do a
/// check also knows when the other side has come to wait, so run it there (`withRuntime`), and once elsewhere, for what only
/// threads show.
public enum StreamConformance {
  /// Looks at both directions of a stream.
  ///
  /// Throws what `connect` throws, and `.cancelled`.
  ///
  /// - Parameters:
  ///   - facts: what is to be looked at. A stream that can't end one of its directions alone is to be asked for
  ///     `Fact.all.subtracting(Fact.ofShutdown)`.
  ///   - limit: how long one check may take. It is then cancelled, its streams are closed, and should it ignore that it is
  ///     left behind.
  ///   - plenty: more bytes than a connection can hold that nobody reads. It is to hold 64 at least.
  ///   - connect: makes two ends that are connected with each other, new ones each time.
  public static func check<Near: ByteStream, Far: ByteStream>(
    _ facts: Set<Fact> = Fact.all, limit: Duration = .seconds(30), plenty: Int = 16 << 20,
    _ connect: @escaping @Sendable () async throws -> (Near, Far)
  ) async throws -> Report {
    let run = ConformanceRun(limit: limit, plenty: plenty)
    return try await run.report(on: facts, directions: ["near to far", "far to near"], canClose: true) {
      let (near, far) = try await connect()
      let there = Way(near, far, closeWriter: { near.close() }, closeReader: { far.close() })
      let back = Way(far, near, closeWriter: { far.close() }, closeReader: { near.close() })
      return (there, back)
    }
  }

  /// Looks at something that has one direction only, such as a pipe. Otherwise as `check(_:limit:plenty:_:)`.
  ///
  /// ```swift
  /// let report = try await StreamConformance.checkOneWay(
  ///   closing: ({ $0.close() }, { $0.close() })
  /// ) { try makePipe() }
  /// ```
  /// Facts of two directions are left out. So are those of closing, unless `closing` says how each end is closed.
  public static func checkOneWay<Writer: ByteWriter & Sendable, Reader: ByteReader & Sendable>(
    _ facts: Set<Fact> = Fact.all, limit: Duration = .seconds(30), plenty: Int = 16 << 20,
    closing: (writer: @Sendable (Writer) -> Void, reader: @Sendable (Reader) -> Void)? = nil,
    _ connect: @escaping @Sendable () async throws -> (Writer, Reader)
  ) async throws -> Report {
    let run = ConformanceRun(limit: limit, plenty: plenty)
    return try await run.report(on: facts, directions: ["writer to reader"], canClose: closing != nil) {
      let (writer, reader) = try await connect()
      let way = Way(
        writer, reader, closeWriter: { closing?.writer(writer) }, closeReader: { closing?.reader(reader) })
      return (way, nil)
    }
  }
}

extension StreamConformance {
  /// What was found.
  public struct Report: Sendable, CustomStringConvertible {
    /// What holds, in every direction.
    public let held: [Fact]
    /// What does not, and in which direction.
    public let failures: [Failure]
    /// What could not be asked of such a stream.
    public let leftOut: [Fact]

    /// A line for each failure, and the counts.
    public var description: String {
      let counts = "\(held.count) facts hold, \(failures.count) checks failed, \(leftOut.count) were left out"
      return ([counts] + failures.map { "- \($0)" }).joined(separator: "\n")
    }
  }

  /// Something that does not hold.
  public struct Failure: Sendable, CustomStringConvertible {
    /// What should.
    public let fact: Fact
    /// Of which direction: "near to far", "far to near", "writer to reader".
    public let direction: String
    /// What was seen instead.
    public let seen: String

    /// "FACT (DIRECTION): what was seen".
    public var description: String { "\(fact) (\(direction)): \(seen)" }
  }
}
