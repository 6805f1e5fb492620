// SPDX-License-Identifier: Apache-2.0
// Waiting until everybody waits.

public import Culvert

extension Worker {
  /// Returns when this worker has nothing left to do: all of its tasks wait, and its poll has found nothing.
  ///
  /// ```swift
  /// async let chunk = stream.read(upTo: 10)
  /// await worker.idle()                      // the read waits now
  /// try await peer.write("hello")
  /// ```
  /// Tasks on other threads are not seen; timers that are not due do not count. Returns early when the task is cancelled, or
  /// the worker has ended.
  public func idle() async { await waitUntilIdle() }

  /// As `idle()`, and `condition` holds: it is asked on the worker's thread while the worker is idle, every millisecond or so,
  /// for what makes it hold may happen on another thread.
  public func idle(where condition: @escaping @Sendable () -> Bool) async {
    let holds = Locked(false)
    while true {
      let isIdle = await waitUntilIdle {
        holds.withLock { $0 = condition() }
        return true
      }
      if !isIdle || holds.withLock({ $0 }) { return }
      do { try await Task.sleep(for: .milliseconds(1)) } catch { return }
    }
  }
}
