// SPDX-License-Identifier: Apache-2.0
// The one continuation: checked while developing, unchecked in release, where a check would cost an allocation for
// each wait.
//
// In release it is made by the standard library's function for callers that stay on their executor: the documented one
// goes to the executor of its caller before and after, and each time the runtime looks up, under a lock, which that is.

/// A suspended task. Resume it once.
@safe struct Suspension {
  #if DEBUG
    private let continuation: CheckedContinuation<WakeReason, Never>

    /// Suspends the current task and gives it to `body`.
    @inline(__always)
    static func suspend(_ body: (Suspension) -> Void) async -> WakeReason {
      await withCheckedContinuation { body(Suspension(continuation: $0)) }
    }

    func resume(_ reason: WakeReason) { continuation.resume(returning: reason) }
  #else
    private let continuation: UnsafeContinuation<WakeReason, Never>

    @inline(__always)
    static func suspend(_ body: (Suspension) -> Void) async -> WakeReason {
      await unsafe _unsafeInheritExecutor_withUnsafeContinuation { unsafe body(Suspension(continuation: $0)) }
    }

    @inline(__always)
    func resume(_ reason: WakeReason) { unsafe continuation.resume(returning: reason) }
  #endif
}
