// SPDX-License-Identifier: Apache-2.0
// Signals, which are the whole process's: one test at a time. One that came while nobody listens would kill us.
import CCulvert
import CulvertTesting
import Testing

@testable import Culvert

@Suite(.serialized, .timeLimit(watchdog)) struct SignalsTests {
  @Test(arguments: Place.allCases)
  func `a signal that is raised is received`(place: Place) async throws {
    try await place.run {
      try await listening { signals in
        for _ in 0..<20 {
          send(.user1)
          #expect(await signals.first() == .user1)
        }
      }
    }
  }

  @Test func `each signal is told as itself, in the order of their coming`() async throws {
    try await onOneWorker { worker in
      let signals = try await Signals.listen(to: .user1, .user2, .hangUp)
      for signal in [Signal.user2, .hangUp, .user1] {
        send(signal)
        #expect(await signals.first() == signal)
      }
      sendHere(.user2)
      await worker.idle()
      sendHere(.user1)
      #expect(await signals.first() == .user2)
      #expect(await signals.first() == .user1)
    }
  }

  @Test func `several listeners get every signal, on whatever worker they are`() async throws {
    try await withRuntime(workers: 2) { runtime in
      let all = [
        try await Signals.listen(to: .user1), try await Signals.listen(to: .user1, .user2),
        try await runtime.spawn(on: runtime.workers[1]) { try await Signals.listen(to: .user1) }.value,
      ]
      send(.user1)
      for signals in all { #expect(await signals.first() == .user1) }
    }
  }

  @Test func `of several iterators one gets the signal`() async throws {
    try await onOneWorker { worker in
      let signals = try await Signals.listen(to: .user1)
      await withTaskGroup(of: Signal?.self) { group in
        for _ in 0..<3 { group.addTask { await signals.first() } }
        await worker.idle()
        send(.user1)
        #expect(await group.next() == .user1)
        group.cancelAll()
        for await other in group { #expect(other == nil) }
      }
    }
  }

  @Test func `a signal that comes again before it was taken counts once`() async throws {
    try await onOneWorker { _ in
      let signals = try await Signals.listen(to: .user1, .user2)
      for _ in 0..<100 { sendHere(.user1) }
      #expect(await signals.first() == .user1)
      send(.user2)
      #expect(await signals.first() == .user2)
    }
  }

  @Test(arguments: Place.allCases)
  func `cancelling ends next() with nil, and the signals are still caught`(place: Place) async throws {
    try await place.run {
      try await listening { signals in
        for round in 0..<20 {
          let task = Task { await signals.first() }
          for _ in 0..<round % 3 { await Task.yield() }
          task.cancel()
          #expect(await task.value == nil)
        }
        send(.user1)
        #expect(await signals.first() == .user1)
      }
    }
  }

  @Test(arguments: [SIGKILL, SIGSTOP, 0, -1, 1_000])
  func `what can't be caught is refused, and nothing of it is left`(number: Int32) async throws {
    try await onOneWorker { _ in
      let error = await thrown {
        try await Signals.listen(to: .user1, Signal(rawValue: number))
      }
      #expect(error?.code == .invalidArgument)
      #expect(error?.description.contains("\(number)") == true)
      #expect(!isCaught(.user1))
    }
  }

  @Test func `in a cancelled task too the signals are caught when listen returns`() async throws {
    for _ in 0..<50 {
      let task = Task {
        await untilCancelled()
        try await listening { _ in try #require(isCaught(.user1)) }
      }
      task.cancel()
      try await task.value
    }
  }

  @Test func `the end of the runtime ends the sequence`() async throws {
    let runtime = try Runtime(Runtime.Configuration(workers: 2))
    let signals = try await runtime.spawn { try await Signals.listen(to: .user1) }.value
    let waiting = runtime.spawn { () -> Int in
      var count = 0
      for await _ in signals { count += 1 }
      return count
    }
    await runtime.shutDown()
    #expect(try await waiting.value == 0)
    #expect(await signals.first() == nil)
    #expect(!isCaught(.user1))
  }

  @Test(arguments: 0..<10)
  func `a signal that comes while the runtime ends harms nobody`(round: Int) async throws {
    try await listening { other in
      let runtime = try Runtime(Runtime.Configuration(workers: 1))
      let (begun, seen) = (Tally(), Tally())
      let done = runtime.spawn {
        async let ended: Void = {
          let signals = try await Signals.listen(to: .user1)
          begun.add()
          while await signals.first() != nil {}
        }()
        try await ended
        // The listener is gone, and its worker turns once more: when the signal has come for sure.
        send(.user1)
        while seen.value == 0 {}
      }
      async let elsewhere: Void = {
        #expect(await other.first() == .user1)
        seen.add()
      }()
      try await begun.reached(1)
      await runtime.shutDown()
      try await done.value
      await elsewhere
    }
  }

  @Test(arguments: Place.allCases)
  func `dropping it gives the signal back to the system`(place: Place) async throws {
    try await place.run {
      for _ in 0..<20 { try await listening { _ in #expect(isCaught(.user1)) } }
    }
  }

  @Test func `a signal has the system's name`() {
    let signals: [Signal] = [.interrupt, .terminate, .hangUp, .user1, .user2, Signal(rawValue: 64)]
    #expect(signals.map(\.description) == ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "signal 64"])
  }
}

extension Signals {
  fileprivate func first() async -> Signal? {
    await makeAsyncIterator().next(isolation: nil)
  }
}

/// For the process: some thread takes it, soon.
private func send(_ signal: Signal) { kill(getpid(), signal.rawValue) }

/// For the calling thread, which may block it as threads of a pool do: it was taken when this returns.
private func sendHere(_ signal: Signal) {
  var (one, old) = (sigset_t(), sigset_t())
  unsafe sigemptyset(&one)
  unsafe sigaddset(&one, signal.rawValue)
  unsafe pthread_sigmask(SIG_UNBLOCK, &one, &old)
  raise(signal.rawValue)
  unsafe pthread_sigmask(SIG_SETMASK, &old, nil)
}

/// Runs `body` with a listener, and waits until its signals are no longer caught.
private func listening(_ body: (Signals) async throws -> Void) async throws {
  func listen() async throws { try await body(try await Signals.listen(to: .user1, .user2)) }
  try await listen()
  // In a task of its own: this one may be cancelled.
  for worker in try Runtime.atHand.workers { await Task { await worker.idle() }.value }
  #expect(!isCaught(.user1) && !isCaught(.user2))
}

private func isCaught(_ signal: Signal) -> Bool {
  var action = sigaction()
  unsafe sigaction(signal.rawValue, nil, &action)
  return unsafe unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self) != 0
}
