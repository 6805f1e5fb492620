// SPDX-License-Identifier: Apache-2.0
// Bugs that other runtimes had with their threads and ends, in processes of their own: they may hang, use signals, or count
// what belongs to the process. Each test is named after its row in the list of hazards.
import CCulvert
import CulvertTesting
import Foundation
import Synchronization
import Testing

@testable import Culvert

#if os(Linux)
  private let ticks = Atomic<Int>(0)

  @Suite(.timeLimit(watchdog)) struct RuntimeProcessHazardTests {
    @Test func `hazard 20: jobs that other threads hand in one by one, or many at once, all run`() async {
      await #expect(processExitsWith: .success) {
        setWatchdog()
        let ran = Tally()
        let each = rounds(ci: 4_000, stress: 1_000_000)
        try await withRuntime(workers: 2) { runtime in
          try await withThrowingDiscardingTaskGroup { group in
            for worker in runtime.workers {
              group.addTask {
                var random = SeededRandom(20)
                for round in 0..<each {
                  // The first wakes the worker; the second comes at any moment of its waking up, and nothing comes after it.
                  let done = Tally()
                  Task(executorPreference: worker) { done.add() }
                  let next = MonotonicTime.now + .random(in: 0...120_000, using: &random)
                  while MonotonicTime.now < next {}
                  Task(executorPreference: worker) { done.add() }
                  if round % 100 == 0 { for _ in 0..<50 { Task(executorPreference: worker) { done.add() } } }
                  try await done.reached(round % 100 == 0 ? 52 : 2)
                  ran.add()
                }
              }
            }
          }
        }
        #expect(ran.value == 2 * each)
      }
    }

    @Test func `hazard 21: jobs that are handed in while a runtime ends run, each once, here or elsewhere`()
      async
    {
      await #expect(processExitsWith: .success) {
        setWatchdog()
        var configuration = Runtime.Configuration(workers: 1)
        configuration.limits.shutDownGrace = .zero  // or these jobs would keep it from ending for so long
        try await withRuntime(workers: 2) { [configuration] others in
          for round in 0..<rounds(ci: 50, stress: 10_000) {
            let runtime = try Runtime(configuration)
            let worker = runtime.workers[0]
            let (handedIn, ran) = (Tally(), Tally())
            await withDiscardingTaskGroup { group in
              for other in others.workers {
                group.addTask(executorPreference: other) {
                  repeat {
                    handedIn.add()
                    Task(executorPreference: worker) { ran.add() }
                    if handedIn.value >= round % 100 { worker.stop() }
                  } while !worker.isClosed
                }
              }
            }
            await runtime.shutDown()
            try await ran.reached(handedIn.value)
            #expect(ran.value == handedIn.value)
          }
        }
      }
    }

    @Test func `hazard 22: 1,000 starts and stops leave no descriptor and no memory behind`() async {
      await #expect(processExitsWith: .success) {
        setWatchdog()
        func once() async throws {
          let (mine, theirs) = try TcpStream.overSocketPair()
          let runtime = try Runtime(Runtime.Configuration(workers: 2))
          // All that an end has to clear away: a poll handle, a timer, a signal, a job of another thread.
          let reading = runtime.spawn { await failure { try await mine.read(upTo: 1) } }
          let sleeping = runtime.spawn { await failure { try await sleep(for: .seconds(3600)) } }
          _ = try await runtime.spawn { try await Signals.listen(to: .user2) }.value
          await runtime.shutDown()
          #expect(try await reading.value == .shutDown)
          #expect(try await sleeping.value == .shutDown)
          theirs.close()
        }
        for _ in 0..<200 { try await once() }
        let (descriptors, memory) = (openDescriptorCount(), residentBytes())
        for _ in 0..<rounds(ci: 1_000, stress: 10_000) { try await once() }
        #expect(openDescriptorCount() == descriptors)
        // What one loop's own record takes, times the number of loops, would be more.
        #expect(isSanitized || residentBytes() - memory < 1 << 20)
      }
    }

    @Test func `hazard 36: a timer that the loop runs too early, just before it polls, is not forgotten`()
      async
    {
      await #expect(processExitsWith: .success) {
        setWatchdog()
        let loop = try UvLoop()
        let doorbell = try UvAsync(loop)  // without which the loop would not wait for ever
        let queue = TimerQueue {}
        let alarm = Alarm(loop, queue)
        UvPrepare(loop).start { queue.count == 0 }  // a worker's: it has a job to run then
        for _ in 0..<rounds(ci: 100, stress: 10_000) {
          // In whole milliseconds the loop takes this to be due up to a millisecond before.
          let deadline = MonotonicTime.now + 990_000
          let sleeping = Task.immediate { await queue.wait(for: deadline) }
          alarm.set()
          while MonotonicTime.now < deadline - 20_000 {}
          while queue.count != 0 {
            loop.run(wait: true)
            alarm.set()
          }
          #expect(MonotonicTime.now >= deadline)
          #expect(await sleeping.value == .ready)
        }
        withExtendedLifetime(doorbell) {}
      }
    }

    @Test func `hazard 41: a signal each millisecond, which restarts nothing, is not noticed`() async {
      await #expect(processExitsWith: .success) {
        _ = ticks.load(ordering: .relaxed)
        var action = sigaction()
        // As the clock of this process is taken, its handler is the watchdog too.
        unsafe action.__sigaction_handler.sa_handler = { _ in
          if ticks.add(1, ordering: .relaxed).newValue > 60_000 { _exit(9) }
        }
        unsafe sigaction(SIGALRM, &action, nil)
        let tick = timeval(tv_sec: 0, tv_usec: 1_000)
        var interval = itimerval(it_interval: tick, it_value: tick)
        unsafe setitimer(.init(ITIMER_REAL.rawValue), &interval, nil)
        try await withRuntime(workers: 2) { runtime in
          let listener = try await TcpListener.bind(.loopback(port: 0))
          async let served: Void = listener.serve { stream in
            while let chunk = try await stream.read(upTo: 65_536) { try await stream.write(chunk) }
          }
          repeat {
            let client = try await TcpStream.connect(to: listener.localAddress)
            async let written: Void = client.write(much)
            #expect(isSame(try await client.readExactly(much.count), much))
            try await written
            for _ in 0..<20 {
              _ = try await TcpStream.connect(to: listener.localAddress)
              let due = MonotonicTime.now + 1_000_000
              try await sleep(for: .milliseconds(1))
              #expect(MonotonicTime.now >= due)
            }
          } while ticks.load(ordering: .relaxed) < 300
          listener.close()
          try await served
        }
      }
    }
  }
#endif
