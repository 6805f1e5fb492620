// SPDX-License-Identifier: Apache-2.0
// For what has to wait: two sides of one connection.

import Dispatch

/// Runs `body` to its end on other threads, which the calling one waits for.
public func runToEnd(_ body: @escaping @Sendable () async -> Void) {
  let isOver = DispatchSemaphore(value: 0)
  Task.detached {
    await body()
    isOver.signal()
  }
  isOver.wait()
}
