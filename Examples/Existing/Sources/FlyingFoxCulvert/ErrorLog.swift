// SPDX-License-Identifier: Apache-2.0
// What went wrong, on standard error, a line each and at once; nothing of what went well.

public import FlyingSocks
import Foundation

/// A log of errors alone.
public struct ErrorLog: Logging {
  /// A log on standard error.
  public init() {}

  /// Not shown.
  public func logDebug(_ debug: @autoclosure () -> String) {}
  /// Not shown.
  public func logInfo(_ info: @autoclosure () -> String) {}
  /// A line.
  public func logWarning(_ warning: @autoclosure () -> String) { write("warning: \(warning())") }
  /// A line.
  public func logError(_ error: @autoclosure () -> String) { write("error: \(error())") }
  /// A line.
  public func logCritical(_ critical: @autoclosure () -> String) { write("error: \(critical())") }

  private func write(_ line: String) {
    try? FileHandle.standardError.write(contentsOf: Data("http \(line)\n".utf8))
  }
}
