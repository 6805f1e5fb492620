// SPDX-License-Identifier: Apache-2.0
// The one continuation: checked while developing, unchecked in release, where a check would cost an allocation for
// each wait.

/// A suspended task. Resume it once.
@safe struct Suspension {
  #if DEBUG
    private let continuation: CheckedContinuation<WakeReason, Never>

    @inline(__always)
    static func suspend(_ body: (Suspension) -> Void) async -> WakeReason {
      await withCheckedContinuation { body(Suspension(continuation: $0)) }
    }

    func resume(_ reason: WakeReason) { continuation.resume(returning: reason) }
  #else
    private let continuation: UnsafeContinuation<WakeReason, Never>

    @inline(__always)
    static func suspend(_ body: (Suspension) -> Void) async -> WakeReason {
      await unsafe withUnsafeContinuation { unsafe body(Suspension(continuation: $0)) }
    }

    func resume(_ reason: WakeReason) { unsafe continuation.resume(returning: reason) }
  #endif
}
