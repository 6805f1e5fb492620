// SPDX-License-Identifier: Apache-2.0
// The only folder that imports libuv. It passes callbacks up and knows nothing of what they do.
//
// Facts about libuv 1.44 to 1.52 that the code above relies on
// - All of it belongs to the loop's thread, but for uv_async_send.
// - Order within uv_run: timers, pending, idle, prepare, poll, check, closing; then timers again in ONCE mode.
//   (1.45 and later run timers after the poll only.) A job that a timer made ready must not wait for the poll to
//   end, or it sleeps for ever: UvPrepare sees to that.
// - While its array of 1,024 events is full, uv_run polls again, up to 48 times, and runs nothing in between.
// - A handle's memory may go only in its close callback, which runs at the end of the same uv_run.
// - A uv_loop_init that fails for want of descriptors leaves its epoll descriptor open (seen with 1.44).
// - uv_loop_close answers UV_EBUSY as long as a handle is open.

import CLibuv
import CCulvert

/// A libuv loop. Loop thread only, but for `init`.
@safe final class UvLoop: @unchecked Sendable {
  let raw: UnsafeMutablePointer<uv_loop_t>
  /// Whoever drives this loop, and outlives its run; set once, before its thread starts. (A weak reference would make each
  /// retain of the owner a slow one.)
  nonisolated(unsafe) unowned(unsafe) var owner: AnyObject?
  private var isClosed = false
  /// A thread runs this loop. Before that, it is whoever's makes it.
  private var isEntered = false
  private var previous: UnsafeMutableRawPointer?
  @safe @exclusivity(unchecked) var polls = UvPollPool()
  /// Within `uv_run`: events may be about to be told for what has just been closed.
  private(set) var isRunning = false

  init() throws(IoError) {
    Self.prepareProcess
    let loop = UnsafeMutablePointer<uv_loop_t>.allocate(capacity: 1)
    let status = uvCall(.uvLoopInit) { unsafe uv_loop_init(loop) }
    if status != 0 {
      unsafe loop.deallocate()
      throw IoError(uv: status, during: "create an event loop")
    }
    unsafe raw = loop
    unsafe raw.pointee.data = Unmanaged.passUnretained(self).toOpaque()
  }

  /// Once for the process, before its first loop.
  private static let prepareProcess: Void = {
    culvert_fill_standard_descriptors()
    culvert_watch_forks()
    UvVersion.warn()  // standard error is nobody's socket now
  }()

  deinit {
    if !isClosed { close() }
    unsafe raw.deallocate()
  }

  /// What tells this loop's thread from others. Safe from any thread.
  var mark: Mark { unsafe Mark(address: UInt(bitPattern: raw)) }

  /// A loop's address, to be asked without following a reference.
  struct Mark {
    fileprivate let address: UInt
    /// Whether the calling thread runs that loop.
    @inline(__always)
    var isCurrent: Bool { unsafe UInt(bitPattern: culvert_current_loop()) == address }
  }

  /// The loop that the calling thread runs. Safe from any thread.
  static var current: UvLoop? {
    guard let raw = unsafe culvert_current_loop()?.assumingMemoryBound(to: uv_loop_t.self) else { return nil }
    return unsafe of(raw)
  }

  /// The loop of that handle.
  static func of(_ poll: UvPollPool.Handle) -> UvLoop { unsafe of(poll.pointee.loop) }

  private static func of(_ raw: UnsafeMutablePointer<uv_loop_t>) -> UvLoop {
    unsafe Unmanaged<UvLoop>.fromOpaque(raw.pointee.data).takeUnretainedValue()
  }

  /// Makes the calling thread this loop's, until `leave` gives it back to whoever had it.
  func enter() {
    isEntered = true
    unsafe previous = culvert_current_loop()
    unsafe culvert_set_current_loop(raw)
  }

  func leave() {
    isEntered = false
    unsafe culvert_set_current_loop(previous)
  }

  /// Whether the calling thread may make calls on the loop that a handle belongs to.
  fileprivate static func mayCall(_ raw: UnsafeMutablePointer<uv_loop_t>) -> Bool {
    if unsafe culvert_current_loop() == .some(UnsafeMutableRawPointer(raw)) { return true }
    return unsafe !of(raw).isEntered
  }

  /// One turn. Waits for something to happen if `wait`, else only looks.
  func run(wait: Bool) {
    unsafe assertOnLoop(raw)
    isRunning = true
    defer { isRunning = false }
    _ = unsafe uv_run(raw, wait ? UV_RUN_ONCE : UV_RUN_NOWAIT)
  }

  /// Ends the loop: closes what handles it has of its own, and turns until the last close callback has run. The poll
  /// handles must be closed or closing.
  func close() {
    unsafe assertOnLoop(raw)
    isClosed = true
    unsafe polls.removeAll().forEach(UvPoll.closeForGood)
    unsafe uv_walk(
      raw,
      { handle, _ in
        guard let handle = unsafe handle, unsafe handle.pointee.type != UV_POLL,
          unsafe uv_is_closing(handle) == 0
        else { return }
        unsafe uvClose(handle)
      }, nil)
    while unsafe uv_loop_close(raw) == UV_EBUSY.rawValue {
      _ = unsafe uv_run(raw, UV_RUN_NOWAIT)
    }
  }

  /// Calls `body` with the target of each poll handle that is open.
  func forEachPollTarget(_ body: (UvPollTarget) -> Void) {
    unsafe assertOnLoop(raw)
    var targets: [UvPollTarget] = []
    unsafe withUnsafeMutablePointer(to: &targets) { targets in
      unsafe uv_walk(
        raw,
        { handle, targets in
          guard let handle = unsafe handle, let data = unsafe handle.pointee.data,
            unsafe handle.pointee.type == UV_POLL, unsafe uv_is_closing(handle) == 0
          else { return }
          let target = unsafe Unmanaged<UvPollTarget>.fromOpaque(data).takeUnretainedValue()
          unsafe targets!.assumingMemoryBound(to: [UvPollTarget].self).pointee.append(target)
        }, targets)
    }
    targets.forEach(body)
  }
}

extension IoError {
  /// libuv's error numbers are minus errno on every Unix.
  init(uv status: Int32, during operation: String) {
    self.init(errno: -status, during: operation)
  }
}

/// Stops a debug build that makes a call of libuv's on another thread than the loop's; nothing in a release.
@inline(__always)
func assertOnLoop(_ loop: UnsafeMutablePointer<uv_loop_t>) {
  assert(unsafe UvLoop.mayCall(loop), "libuv called off its loop's thread")
}

/// Makes one of libuv's calls that can fail.
@inline(__always)
func uvCall(_ name: SystemCall, _ call: () -> Int32) -> Int32 {
  #if FaultInjection
    if let forced = Faults.forced(name, { SysResult(raw: Int(call())) }) { return Int32(forced.raw) }
  #endif
  return call()
}

/// Closes a handle, and frees it and its callback in the close callback. For all handles but UvPoll.
func uvClose<Handle>(_ handle: UnsafeMutablePointer<Handle>) {
  let handle = unsafe UnsafeMutableRawPointer(handle).assumingMemoryBound(to: uv_handle_t.self)
  unsafe assertOnLoop(handle.pointee.loop)
  unsafe uv_close(handle) { handle in
    if let data = unsafe handle?.pointee.data { unsafe Unmanaged<UvCallback>.fromOpaque(data).release() }
    unsafe UnsafeMutableRawPointer(handle)?.deallocate()
  }
}

/// What a handle calls; retained by the handle's `data` until its close callback.
final class UvCallback {
  let run: () -> Void
  init(_ run: @escaping () -> Void) { self.run = run }

  @inline(__always)
  static func call(_ data: UnsafeMutableRawPointer?) {
    guard let data = unsafe data else { return }
    unsafe Unmanaged<UvCallback>.fromOpaque(data).takeUnretainedValue().run()
  }
}
