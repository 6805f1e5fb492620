// SPDX-License-Identifier: Apache-2.0
// Calls that a job may make in a row: a source that is always ready must not keep a worker for itself.

import CCulvert

enum Budget {
  /// Takes one call off what the job on this thread may make; when nothing is left, lets others run first.
  ///
  /// Throws `.cancelled` then, for what never waits would never notice that the task is cancelled.
  @inline(__always)
  static func spend(during operation: @autoclosure () -> String) async throws(IoError) {
    if !spendOne() { try await giveWay(during: operation()) }
  }

  /// Takes one call off what the job on this thread may make; false when nothing is left, or the thread is no worker's.
  @inline(__always)
  static func spendOne() -> Bool { culvert_spend_budget() == culvert_budget_left }

  @inline(never)
  private static func giveWay(during operation: @autoclosure () -> String) async throws(IoError) {
    // Off the workers the executor sees to fairness.
    if IoDriver.current != nil { await Task.yield() }
    if Task.isCancelled { throw IoError(.cancelled, during: operation()) }
  }
}
