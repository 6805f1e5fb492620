// SPDX-License-Identifier: Apache-2.0
// What other threads may hold of a driver.

import Synchronization

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
  }

  let unparker: IoDriverUnparker
  let timers: TimerQueue
  private let loop: UvLoop
  private let limits: Limits
  private let registered = Atomic<Int>(0)
  private let mailbox: Inbox<Message>
  /// Worker thread only; `nil` once the driver has ended.
  nonisolated(unsafe) weak var driver: IoDriver?

  init(_ loop: UvLoop, _ unparker: IoDriverUnparker, _ limits: Limits) {
    self.loop = loop
    self.unparker = unparker
    self.limits = limits
    let mailbox = Inbox<Message>(unparker)
    self.mailbox = mailbox
    timers = TimerQueue { if !loop.isCurrent { mailbox.ring() } }
  }

  /// Whether the calling thread is this driver's.
  @inline(__always)
  var isCurrent: Bool { loop.isCurrent }

  /// The descriptors that the driver holds now.
  var registrationCount: Int { registered.load(ordering: .relaxed) }

  /// Makes this driver the home of `info`; a source that has one keeps it. The poll handle follows when a direction
  /// is first armed.
  func addIoSource(_ info: RegistrationInfo) throws(IoError) {
    let count = registered.add(1, ordering: .relaxed).newValue
    guard count <= limits.registrations else {
      registered.subtract(1, ordering: .relaxed)
      let what = "watch file descriptor \(info.descriptor.number) beside \(limits.registrations) others"
      throw IoError(.limitReached, during: what)
    }
    if !info.bind(to: self) { registered.subtract(1, ordering: .relaxed) }
  }

  /// Lets go of a source; its descriptor is closed once the loop has done so, if it is to be closed.
  func removeIoSource(_ info: RegistrationInfo) {
    if isCurrent, let driver = unsafe driver {
      info.release(from: driver)
    } else {
      _ = mailbox.post(.release(info))  // refused: the driver has ended, and closes its handles itself
    }
  }

  /// Has the driver arm what `info` wants. If it has ended, all who wait there are told.
  func update(_ info: RegistrationInfo) {
    if isCurrent, let driver = unsafe driver, !driver.isEnding {
      info.reconcile(with: driver)
    } else if info.markQueued(), !mailbox.post(.update(info)) {
      info.end(.shutDown)
    }
  }

  /// Runs `action` on the driver's thread, now or soon; false when the driver has ended.
  func perform(_ action: @escaping @Sendable (IoDriver) -> Void) -> Bool {
    if isCurrent, let driver = unsafe driver, !driver.isEnding {
      action(driver)
      return true
    }
    return mailbox.post(.perform(action))
  }

  func didRelease() { registered.subtract(1, ordering: .relaxed) }

  // MARK: the driver's side; worker thread only

  func takeMessages(_ body: (Message) -> Void) { mailbox.take(body) }
  func closeMailbox() -> [Message] { mailbox.close() }
}
