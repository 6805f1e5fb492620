// SPDX-License-Identifier: Apache-2.0
// One event loop and what belongs to it: the doorbell, the timers, the messages from other threads.
// Knows descriptors, not sockets; and of whoever runs it only whether jobs are ready.

/// Whoever runs a driver.
protocol IoDriverHost: AnyObject {
  /// Whether a job waits to be run on this thread.
  var hasReadyJobs: Bool { get }
  /// Runs the jobs that are ready now.
  func runReadyJobs()
}

/// Turns events of the loop into woken tasks. Worker thread only, but for `init` and `handle`.
final class IoDriver: @unchecked Sendable {
  let handle: IoDriverHandle
  /// Where tasks of this thread wait, and where those that were woken wait for their turn.
  let lobby: Lobby
  private let loop: UvLoop
  private let doorbell: UvAsync
  private let alarm: Alarm
  private let prepare: UvPrepare
  /// Set once, before the thread starts.
  private(set) unowned var host: (any IoDriverHost)?

  /// What the tasks on this thread read into, one after the other. Made when first used.
  private(set) lazy var scratch = ScratchBuffer()

  /// The cancellation records of the tasks that live on this thread, by task. Safe from any thread.
  let owners = TaskOwnerTable()

  /// Turns of the loop so far.
  private(set) var turn: UInt64 = 0
  /// Times that what is armed has changed: each costs one or two epoll_ctl.
  private(set) var armings: UInt64 = 0
  /// Tasks that events have woken.
  var wakeUps: UInt64 { wakesBefore &+ UInt64(wakesSinceJobs) }
  private var wakesBefore: UInt64 = 0
  /// New registrations are refused.
  private(set) var isEnding = false
  private var wakesSinceJobs = 0
  /// The signal handles of this loop, by watch.
  private var signals: [ObjectIdentifier: (watch: SignalWatch, handles: [UvSignal])] = [:]

  /// Wakes in one poll after which ready jobs are run at once. libuv polls up to 48 times before it returns while
  /// 1,024 descriptors are ready, and would report the same ones again.
  private static let wakesBeforeJobs = 256

  init(limits: Limits, time: VirtualTime?) throws(IoError) {
    loop = try UvLoop()
    doorbell = try UvAsync(loop)
    prepare = UvPrepare(loop)
    lobby = Lobby()
    handle = IoDriverHandle(loop, IoDriverUnparker(doorbell), lobby, limits, time)
    alarm = Alarm(loop, handle.timers)
    unsafe handle.driver = Unretained(self)
    unsafe loop.owner = self
  }

  /// Whose thread is this driver's: to be asked often.
  typealias ThreadMark = UvLoop.Mark

  /// The calling thread's driver. Safe from any thread.
  static var current: IoDriver? { unsafe UvLoop.current?.owner as? IoDriver }

  /// Says who runs this driver. Before the thread starts.
  func attach(_ host: any IoDriverHost) {
    self.host = host
    prepare.start { [unowned host] in host.hasReadyJobs }
  }

  /// Makes the calling thread this driver's.
  func enter() {
    loop.enter()
    lobby.enter()
  }

  /// One turn: carries out messages, polls, and wakes. Waits for an event when `wait` says so, which is asked after the
  /// messages: they may have made a job ready.
  func processIo(wait: @autoclosure () -> Bool) {
    turn &+= 1
    forgetWakes()
    cleanupRegistrationInfos()
    alarm.set()
    loop.run(wait: wait())
  }

  /// Carries out what other threads asked for: arm, let go, and the rest.
  private func cleanupRegistrationInfos() {
    handle.takeMessages { message in
      switch message {
      case .update(let info): info.reconcile(with: self)
      case .release(let info): info.release(from: self)
      case .perform(let action): action(self)
      case .wake(let waiter): lobby.append(waiter)
      }
    }
  }

  func watch(_ info: RegistrationInfo) throws(IoError) -> UvPoll {
    try UvPoll(loop, info, isPollable: info.isPollable)
  }

  /// Opens a handle for each signal of `watch`; all or none.
  func add(_ watch: SignalWatch) throws(IoError) {
    var handles: [UvSignal] = []
    do throws(IoError) {
      for number in watch.numbers {
        handles.append(try UvSignal(loop, number: number) { watch.raise(number) })
      }
    } catch {
      for handle in handles { handle.close() }
      throw error
    }
    signals[ObjectIdentifier(watch)] = (watch, handles)
  }

  func remove(_ watch: SignalWatch) {
    guard let (_, handles) = signals.removeValue(forKey: ObjectIdentifier(watch)) else { return }
    for handle in handles { handle.close() }
  }

  func willArm() { armings &+= 1 }

  /// A poll callback woke that many tasks. The last thing such a callback does, for it may run jobs.
  @inline(__always)
  func didWake(_ count: Int) {
    wakesSinceJobs += count
    if wakesSinceJobs >= Self.wakesBeforeJobs { runJobsEarly() }
  }

  private func runJobsEarly() {
    forgetWakes()
    host?.runReadyJobs()
  }

  private func forgetWakes() {
    wakesBefore &+= UInt64(wakesSinceJobs)
    wakesSinceJobs = 0
  }

  // MARK: the end

  /// Refuses new registrations and timers, and gives every waiter its answer.
  func refuseWaiters() {
    isEnding = true
    for message in handle.closeMailbox() {
      switch message {
      case .update(let info): info.end(.shutDown)
      case .release(let info): info.release(from: self)
      case .perform(let action): action(self)
      case .wake(let waiter): lobby.append(waiter)
      }
    }
    forEachRegistration { $0.end(.shutDown) }
    handle.timers.close()
    for (watch, _) in signals.values { watch.end() }
    signals = [:]
  }

  /// Closes every handle and the loop. Afterwards the thread is nobody's, and the driver of no use.
  func close() {
    forEachRegistration { $0.release(from: self) }
    loop.close()
    loop.leave()
    lobby.leave()
    handle.releaseAll()
    unsafe handle.driver = nil
  }

  private func forEachRegistration(_ body: (RegistrationInfo) -> Void) {
    loop.forEachPollTarget { target in
      if let info = target as? RegistrationInfo { body(info) }
    }
  }
}
