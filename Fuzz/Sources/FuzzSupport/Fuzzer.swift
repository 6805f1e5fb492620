// SPDX-License-Identifier: Apache-2.0
// libFuzzer, which has the main loop, and what it hands over.

/// Runs libFuzzer with this process's arguments: it calls `body` with one input after the other, for as long as it is told.
public func fuzz(
  _ argumentCount: Int32, _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?,
  _ body: @escaping (ArraySlice<UInt8>) -> Void
) -> Int32 {
  unsafe inputHandler = body
  var (count, values) = unsafe (argumentCount, arguments)
  return unsafe runDriver(&count, &values) { bytes, count in
    unsafe inputHandler(ArraySlice(UnsafeBufferPointer(start: bytes, count: count)))
    return 0
  }
}

/// Set once, before the only thread that uses it begins to.
nonisolated(unsafe) private var inputHandler: (ArraySlice<UInt8>) -> Void = { _ in }

@_silgen_name("LLVMFuzzerRunDriver")
private func runDriver(
  _ argumentCount: UnsafeMutablePointer<Int32>,
  _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?>,
  _ body: @convention(c) (UnsafePointer<UInt8>?, Int) -> Int32
) -> Int32

/// What is not as it must be, is a crash: libFuzzer keeps the input.
public func check(_ condition: Bool, _ what: @autoclosure () -> String) {
  if !condition { fatalError(what()) }
}

/// Runs `body` to its end on the calling thread. It must not suspend.
public func runAtOnce(_ body: @escaping () async -> Void) {
  let run = Run(body)
  Task.immediate {
    await run.body()
    run.isOver = true
  }
  check(run.isOver, "it suspended")
}

/// One thread's only.
private final class Run: @unchecked Sendable {
  let body: () async -> Void
  var isOver = false
  init(_ body: @escaping () async -> Void) { self.body = body }
}
