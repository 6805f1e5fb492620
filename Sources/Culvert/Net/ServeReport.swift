// SPDX-License-Identifier: Apache-2.0
// What a server has to say at its end.

/// How the connections of a server ended.
public struct ServeReport: Sendable, Hashable, CustomStringConvertible {
  /// Their handlers returned.
  public var served: Int
  /// Their handlers threw.
  public var failed: Int
  /// Their handlers were still running when the grace was over, and were cancelled; however they ended then.
  public var cut: Int

  /// So many of each; no connections unless told.
  public init(served: Int = 0, failed: Int = 0, cut: Int = 0) {
    self.served = served
    self.failed = failed
    self.cut = cut
  }

  /// The connections of two servers.
  public static func + (a: ServeReport, b: ServeReport) -> ServeReport {
    ServeReport(served: a.served + b.served, failed: a.failed + b.failed, cut: a.cut + b.cut)
  }

  /// As in "served 20, failed 1, cut 0".
  public var description: String { "served \(served), failed \(failed), cut \(cut)" }
}
