// SPDX-License-Identifier: Apache-2.0
// A test's own time: hours in no time, never early, in order, and only where it was asked for.
import CulvertTesting
import Testing

@testable import Culvert

@Suite(.timeLimit(watchdog)) struct VirtualClockTests {
  private let clock = VirtualClock()
  private let log = Events()

  /// Sleeps so many seconds, and notes `name` with the time.
  private func sleeper(_ name: String, _ seconds: Double) async throws {
    try await sleep(for: .seconds(seconds))
    log.note("\(name) at \(clock.elapsed)")
  }

  @Test(arguments: [1, 2, 5])
  func `sleeps end at their times, to the nanosecond, in order, and none without being moved`(workers: Int)
    async throws
  {
    try await withRuntime(clock: clock, workers: workers) { runtime in
      for (number, hours) in [3, 1, 2].enumerated() {
        runtime.spawn(on: runtime.workers[number % workers]) {
          try await sleeper("\(hours)", 3600.0 * Double(hours))
        }
      }
      await clock.advance(by: .zero)
      await clock.advance(by: .seconds(3600) - .nanoseconds(1))
      #expect(log.all.isEmpty)
      await clock.advance(by: .nanoseconds(1))
      #expect(log.all == ["1 at 3600.0 seconds"])
      await clock.advance(by: .seconds(1_000_000))
      #expect(log.all == ["1 at 3600.0 seconds", "2 at 7200.0 seconds", "3 at 10800.0 seconds"])
      #expect(clock.elapsed == .seconds(1_003_600))
    }
  }

  @Test func `those of one instant end in the order in which they began`() async throws {
    try await withRuntime(clock: clock) { runtime in
      for name in ["a", "b", "c", "d"] { runtime.spawn { try await sleeper(name, 60) } }
      await clock.advance(by: .seconds(60))
      #expect(log.all.map { $0.prefix(1) } == ["a", "b", "c", "d"])
    }
  }

  @Test func `the grace of a server that drains goes by the clock`() async throws {
    try await withRuntime(clock: clock) { runtime in
      let listener = try await TcpListener.bind(.loopback(port: 0))
      let server = listener.server(grace: .seconds(3600)) { stream in _ = try await stream.read(upTo: 1) }
      let running = runtime.spawn { try await server.run() }
      let client = try await TcpStream.connect(to: listener.localAddress)
      await clock.advance(by: .zero)
      server.drain()
      await clock.advance(by: .seconds(3599))
      #expect(server.connectionCount == 1)
      await clock.advance(by: .seconds(1))
      #expect(try await running.value == ServeReport(cut: 1))
      client.close()
    }
  }

  @Test func `what one wakes goes on before the next is due, over sockets and workers too`() async throws {
    try await withRuntime(clock: clock, workers: 2) { runtime in
      let (client, server) = try await TcpStream.loopbackPair()
      runtime.spawn(on: runtime.workers[1]) {
        while try await server.read(upTo: 10) != nil {
          try await sleeper("answer", 1)
          try await server.write("!")
        }
      }
      runtime.spawn(on: runtime.workers[0]) {
        for _ in 0..<3 {
          try await sleeper("ask", 1)
          try await client.write("?")
          _ = try await client.read(upTo: 1)
        }
        log.note("done at \(clock.elapsed)")
      }
      await clock.advance(by: .seconds(1000))
      #expect(log.all.last == "done at 6.0 seconds" && log.all.count == 7)
      let times = log.all.dropLast().map { $0.split(separator: " ")[2] }
      #expect(times == ["1.0", "2.0", "3.0", "4.0", "5.0", "6.0"])
    }
  }

  @Test func `of nested time limits the nearer ends the work, at its time`() async throws {
    try await withRuntime(clock: clock) { _ in
      for (outer, inner) in [(7200, 3600), (3600, 7200)] {
        let start = clock.elapsed
        async let error = thrown {
          try await withTimeout(.seconds(outer)) {
            try await withDeadline(.now + .seconds(inner)) {
              defer { log.note("\((clock.elapsed - start).components.seconds)") }
              try await sleep(for: .seconds(86_400))
            }
          }
        }
        await clock.advance(by: .seconds(10_000))
        let outcome = await error
        #expect(outcome?.code == .timedOut)
      }
      // The instant was that of the system's clock: what was left until there.
      #expect(["3599", "3600"].contains(log.all.first ?? "") && log.all.last == "3600", "\(log.all)")
    }
  }

  @Test func `an instant of the system's clock stands for what is left until there`() async throws {
    try await withRuntime(clock: clock) { runtime in
      runtime.spawn {
        try await sleep(until: .now + .seconds(3600))
        log.note("awake")
      }
      await clock.advance(by: .seconds(3000))
      #expect(log.all.isEmpty)
      await clock.advance(by: .seconds(600))
      #expect(log.all == ["awake"])
    }
  }

  @Test func `a stream's limit for its reads goes by it`() async throws {
    try await withRuntime(clock: clock, workers: 2) { runtime in
      let (near, far) = try UnixStream.pair()
      near.readTimeout = .seconds(60)
      let reading = runtime.spawn { await failure { try await near.read(upTo: 1) } }
      await clock.advance(by: .seconds(59))
      #expect(runtime.workers.contains { $0.nextTimer == 60_000_000_000 })
      await clock.advance(by: .seconds(1))
      #expect(try await reading.value == .timedOut)
      far.close()
    }
  }

  @Test func `time never goes back`() {
    let time = VirtualTime()
    time.move(to: 5)
    time.move(to: 3)
    #expect(time.now == 5)
    // As a signed number this would be less.
    time.move(to: .max - 1)
    #expect(time.now == UInt64.max - 1)
  }

  @Test func `work that is in time is returned, and its limit is forgotten`() async throws {
    try await withRuntime(clock: clock) { runtime in
      async let answer = withTimeout(.seconds(3600)) {
        try await sleep(for: .seconds(3599))
        return 7
      }
      await clock.advance(by: .seconds(3599))
      let value = try await answer
      #expect(value == 7)
      #expect(await clock.advanceToNextTimer() == nil && runtime.workers[0].nextTimer == nil)
    }
  }

  @Test func `a day of an interval of minutes is over in no time, and no tick is missed`() async throws {
    try await withRuntime(clock: clock) { runtime in
      let ticks = Tally()
      let ticking = runtime.spawn {
        for try await number in Interval(every: .seconds(60)) {
          #expect(clock.elapsed == .seconds(60 * number))
          ticks.add()
        }
      }
      await clock.advance(by: .zero)
      #expect(ticks.value == 1)
      await clock.advance(by: .seconds(86_400))
      #expect(ticks.value == 1441)
      ticking.cancel()
      #expect(await failure { try await ticking.value } == .cancelled)
    }
  }

  @Test func `a sleep is cancelled at once, and a time that is past is no wait`() async throws {
    try await withRuntime(clock: clock) { runtime in
      let sleeping = runtime.spawn { try await sleeper("never", 60) }
      await runtime.workers[0].idle()
      #expect(runtime.workers[0].nextTimer == 60_000_000_000)
      sleeping.cancel()
      #expect(await failure { try await sleeping.value } == .cancelled)
      try await sleep(for: .zero)
      try await sleep(until: .now - .seconds(1))
      let code = await failure { try await withTimeout(.zero) { try await sleep(for: .seconds(1)) } }
      #expect(code == .timedOut)
      #expect(clock.elapsed == .zero && log.all.isEmpty)
    }
  }

  @Test func `from timer to timer it says how far that was`() async throws {
    try await withRuntime(clock: clock, workers: 2) { runtime in
      runtime.spawn { try await sleeper("a", 5) }
      runtime.spawn { try await sleeper("b", 7.5) }
      #expect(await clock.advanceToNextTimer() == .seconds(5))
      #expect(log.all == ["a at 5.0 seconds"])
      #expect(await clock.advanceToNextTimer() == .seconds(2.5))
      #expect(await clock.advanceToNextTimer() == nil && log.all.count == 2)
    }
  }

  @Test func `a task on no worker goes by it if it was started there`() async throws {
    try await withRuntime(clock: clock, workers: 2) { runtime in
      let sleeping = Task { try await sleeper("elsewhere", 3600) }
      // Such a task is seen only once it sleeps.
      await runtime.workers[0].idle { runtime.workers.contains { $0.nextTimer != nil } }
      await clock.advance(by: .seconds(3600))
      try await sleeping.value
      #expect(log.all == ["elsewhere at 3600.0 seconds"])
    }
  }

  @Test func `a runtime beside it keeps the system's time`() async throws {
    try await withRuntime(clock: clock) { _ in
      let real = try Runtime(.init(workers: 1))
      let start = MonotonicTime.now
      try await real.spawn { try await sleep(for: .milliseconds(2)) }.value
      #expect(MonotonicTime.now - start >= 2_000_000)
      let long = real.spawn { try await sleep(for: .seconds(3600)) }
      await real.workers[0].idle()
      await clock.advance(by: .seconds(1_000_000))
      await real.workers[0].idle()
      #expect(real.workers[0].driver.handle.timers.count == 1)
      await real.shutDown()
      #expect(await failure { try await long.value } == .shutDown)
    }
  }

  @Test func `two runtimes go by one clock, until they end`() async throws {
    try await withRuntime(clock: clock) { _ in
      try await withRuntime(clock: clock) { inner in
        inner.spawn { try await sleeper("inner", 1) }
        async let outer: Void = sleeper("outer", 2)
        await clock.advance(by: .seconds(2))
        try await outer
      }
      async let outer: Void = sleeper("outer", 1)
      await clock.advance(by: .seconds(1))
      try await outer
      #expect(log.all == ["inner at 1.0 seconds", "outer at 2.0 seconds", "outer at 3.0 seconds"])
    }
  }

  @Test func `at the far end of time nothing overflows, and whoever moves it can be cancelled`() async throws
  {
    try await withRuntime(clock: clock) { runtime in
      let sleeping = runtime.spawn { try await sleep(for: .seconds(Int64.max)) }
      await clock.advance(by: .seconds(Int64.max))
      try await sleeping.value
      #expect(clock.elapsed == .nanoseconds(Int64.max))
      // Always busy, so that it would wait for ever.
      let busy = runtime.spawn { while !Task.isCancelled { await Task.yield() } }
      let advancing = Task { await clock.advance(by: .seconds(1)) }
      advancing.cancel()
      await advancing.value
      busy.cancel()
    }
  }

  @Test func `a lookup's and a pause's time go by it as well`() async throws {
    try await withRuntime(clock: clock) { runtime in
      let pausing = runtime.spawn {
        var pause = Backoff()
        // 5, 10, 20, 40, 80 and 160 ms.
        for _ in 0..<6 { try await pause.wait(during: "try") }
      }
      await clock.advance(by: .milliseconds(314))
      #expect(runtime.workers[0].nextTimer != nil)
      await clock.advance(by: .milliseconds(1))
      try await pausing.value
      let blocked = Monitor(false)
      let pool = BlockingPool(threads: 1)
      let call = runtime.spawn {
        try await pool.call(within: .seconds(30), during: "look up") { blocked.wait { $0 ? $0 : nil } }
      }
      await clock.advance(by: .seconds(30))
      #expect(await failure { try await call.value } == .timedOut)
      blocked.update { $0 = true }
    }
  }
}

/// What happened, in order.
private final class Events: Sendable {
  private let events = Locked<[String]>([])
  var all: [String] { events.withLock { $0 } }
  func note(_ event: String) { events.withLock { $0.append(event) } }
}
