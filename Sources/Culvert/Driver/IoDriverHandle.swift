// SPDX-License-Identifier: Apache-2.0
// What other threads may hold of a driver.

import CCulvert

/// Ends a driver's poll from another thread.
struct IoDriverUnparker: Sendable {
  private let doorbell: UvAsync
  init(_ doorbell: UvAsync) { self.doorbell = doorbell }

  /// Safe from any thread, as long as the caller holds a mutex under which the driver's end is announced.
  func unpark() { doorbell.send() }
}

/// Registers I/O sources with a driver. Safe from any thread.
final class IoDriverHandle: Sendable {
  enum Message {
    /// Arm what this record wants now. Carries no mask: it would be old on arrival.
    case update(RegistrationInfo)
    case release(RegistrationInfo)
    case perform(@Sendable (IoDriver) -> Void)
    /// Run the job of a task that has waited there.
    case wake(Lobby.Woken)
  }

  let unparker: IoDriverUnparker
  let timers: TimerQueue
  /// Kept for those who wait there.
  let lobby: Lobby
  /// Kept: the doorbell rings on it.
  private let loop: UvLoop
  /// Whose thread is this driver's.
  let mark: UvLoop.Mark
  private let limits: Limits
  let origin = ProcessOrigin()
  /// Whose home this driver is, from `addIoSource` until it has let go.
  private let sources = Locked(SourceList())
  private let mailbox: Inbox<Message>
  /// Worker thread only; `nil` once the driver has ended.
  nonisolated(unsafe) var driver: Unretained<IoDriver>?

  init(
    _ loop: UvLoop, _ unparker: IoDriverUnparker, _ lobby: Lobby, _ limits: Limits, _ time: VirtualTime?
  ) {
    self.loop = loop
    self.lobby = lobby
    self.unparker = unparker
    self.limits = limits
    let mailbox = Inbox<Message>(unparker)
    self.mailbox = mailbox
    let mark = loop.mark
    self.mark = mark
    timers = TimerQueue(time) { if !mark.isCurrent { mailbox.ring() } }
    unsafe lobby.handle = self
  }

  /// Whether the calling thread is this driver's.
  @inline(__always)
  var isCurrent: Bool { mark.isCurrent }

  /// Its address, for whoever has noted that of a home.
  var address: UInt { unsafe UInt(bitPattern: Unretained(self).address) }

  /// The address of the handle of the calling thread's driver; 0 where there is none.
  @inline(__always)
  static var currentAddress: UInt { culvert_current_home() }

  /// The descriptors that the driver holds now.
  var registrationCount: Int { sources.withLock { $0.count } }
  /// Whose home this driver is.
  var registrations: [RegistrationInfo] { sources.withLock { $0.all } }

  /// Makes this driver the home of `info`; a source that has one keeps it. The poll handle follows when a direction
  /// is first armed.
  func addIoSource(_ info: RegistrationInfo) throws(IoError) {
    let isRefused = sources.withLock { sources in
      if sources.count >= limits.registrations { return !info.hasHome }
      if info.bind(to: self) { sources.append(info) }
      return false
    }
    if isRefused {
      let what = "watch file descriptor \(info.number) beside \(limits.registrations) others"
      throw IoError(.limitReached, during: what)
    }
  }

  /// Lets go of a source; its descriptor is closed once the loop has done so, if it is to be closed.
  func removeIoSource(_ info: RegistrationInfo) {
    if origin.isElsewhere { return }
    if isCurrent, let driver = unsafe driver {
      driver.with { info.release(from: $0) }
    } else if !mailbox.post(.release(info)) {
      didRelease(info)  // the driver has ended, or is about to, and closes its handles itself
    }
  }

  /// Has the driver arm what `info` wants. If it has ended, all who wait there are told.
  func update(_ info: RegistrationInfo) {
    if origin.isElsewhere {
      info.end(.shutDown)
    } else if let driver = currentDriver {
      driver.with { info.reconcile(with: $0) }
    } else if info.markQueued(), !mailbox.post(.update(info)) {
      info.end(.shutDown)
    }
  }

  /// Runs `action` on the driver's thread, now or soon; false when the driver has ended.
  func perform(_ action: @escaping @Sendable (IoDriver) -> Void) -> Bool {
    if origin.isElsewhere { return false }
    if let driver = currentDriver {
      driver.with { action($0) }
      return true
    }
    return mailbox.post(.perform(action))
  }

  /// Runs the job of a task that has waited in the lobby, on this driver's thread; if that has ended, somewhere.
  func run(_ waiter: Lobby.Woken) {
    if !mailbox.post(.wake(waiter)) { waiter.handOn() }
  }

  /// The driver, on its own thread and until it begins to end.
  @inline(__always)
  private var currentDriver: Unretained<IoDriver>? {
    guard isCurrent, let driver = unsafe driver, driver.with({ !$0.isEnding }) else { return nil }
    return driver
  }

  func didRelease(_ info: RegistrationInfo) {
    sources.withLock { $0.remove(info) }
  }

  // MARK: the driver's side; worker thread only

  func takeMessages(_ body: (Message) -> Void) { mailbox.take(body) }
  func closeMailbox() -> [Message] { mailbox.close() }
  /// The driver has ended: it is nobody's home any more.
  func releaseAll() { sources.withLock { $0.removeAll() } }
}
