// SPDX-License-Identifier: Apache-2.0
// What other threads may hold of a driver: a mailbox under a mutex, and a doorbell that is rung under that mutex, so
// that it can't meet a closed loop.

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
  private let mailbox: Mailbox
  /// Worker thread only; `nil` once the driver has ended.
  nonisolated(unsafe) weak var driver: IoDriver?

  init(_ loop: UvLoop, _ unparker: IoDriverUnparker, _ limits: Limits) {
    self.loop = loop
    self.unparker = unparker
    self.limits = limits
    let mailbox = Mailbox(unparker)
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
      mailbox.post(.release(info))  // refused: the driver has ended, and closed its handles itself
    }
  }

  /// Has the driver arm what `info` wants. If it has ended, all who wait there are told.
  func update(_ info: RegistrationInfo) {
    if isCurrent, let driver = unsafe driver, mailbox.isOpen {
      info.reconcile(with: driver)
    } else if info.markQueued(), !mailbox.post(.update(info)) {
      info.end(.shutDown)
    }
  }

  /// Runs `action` on the driver's thread, now or soon; false when the driver has ended.
  func perform(_ action: @escaping @Sendable (IoDriver) -> Void) -> Bool {
    if isCurrent, let driver = unsafe driver, mailbox.isOpen {
      action(driver)
      return true
    }
    return mailbox.post(.perform(action))
  }

  func didRelease() { registered.subtract(1, ordering: .relaxed) }

  // MARK: the driver's side; worker thread only

  func takeMessages() -> [Message] { mailbox.take() }
  func closeMailbox() -> [Message] { mailbox.close() }
}

/// Messages of other threads to a driver.
private final class Mailbox: Sendable {
  private let state = Locked(State())
  private let unparker: IoDriverUnparker
  /// To be read without the lock, by a driver's own thread.
  private let open = Atomic<Bool>(true)

  private struct State {
    var messages: [IoDriverHandle.Message] = []
    var isOpen = true
    /// One ring for each time the mailbox is emptied.
    var hasRung = false
  }

  init(_ unparker: IoDriverUnparker) {
    self.unparker = unparker
  }

  var isOpen: Bool { open.load(ordering: .relaxed) }

  @discardableResult
  func post(_ message: IoDriverHandle.Message) -> Bool {
    state.withLock { state in
      guard state.isOpen else { return false }
      state.messages.append(message)
      ring(&state)
      return true
    }
  }

  /// Ends the poll, with no message.
  func ring() {
    state.withLock { state in
      if state.isOpen { ring(&state) }
    }
  }

  private func ring(_ state: inout State) {
    if state.hasRung { return }
    state.hasRung = true
    unparker.unpark()
  }

  func take() -> [IoDriverHandle.Message] {
    state.withLock { state in
      state.hasRung = false
      if state.messages.isEmpty { return [] }
      defer { state.messages = [] }
      return state.messages
    }
  }

  func close() -> [IoDriverHandle.Message] {
    state.withLock { state in
      state.isOpen = false
      open.store(false, ordering: .relaxed)
      defer { state.messages = [] }
      return state.messages
    }
  }
}
