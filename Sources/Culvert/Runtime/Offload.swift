// SPDX-License-Identifier: Apache-2.0
// For whoever has to call something that blocks.

/// Runs `body`, which may block its thread, on a thread of `pool`, and waits for its result without blocking one of ours.
///
/// ```swift
/// let text = try await offload { try String(contentsOfFile: path, encoding: .utf8) }
/// ```
/// Throws what `body` throws; `.limitReached` when too many calls wait for a thread; `.shutDown` when the worker ends, and in a
/// fork of the process. When the task is cancelled it throws `.cancelled` at once, though what blocks can't be
/// given up: the error says whether the call goes on, and nobody hears of its result; one that has not begun is never made.
/// `body` runs outside of any task: no task-local values, no worker.
public func offload<R: Sendable>(
  on pool: BlockingPool = .shared, _ body: @escaping @Sendable () throws -> R
) async throws -> R {
  // No deadline of its own: that is what `withTimeout` is for.
  try await pool.call(within: .seconds(Int64.max), during: "offload a call", body).get()
}
