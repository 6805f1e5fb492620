// SPDX-License-Identifier: Apache-2.0
import CCulvert
import Foundation
import CulvertTesting
import Testing

@testable import Culvert

private final class WorkerHolder: Sendable {
  private let state = Locked<Worker?>(nil)
  func withLock<R>(_ body: (inout Worker?) -> R) -> R { state.withLock(body) }
}

private struct Stop: Error, Equatable {}

@Suite(.timeLimit(watchdog)) struct RuntimeTests {
  private let holder = WorkerHolder()

  @Test func `withRuntime starts its body on a worker, and gives back what it returns or throws`()
    async throws
  {
    let index = try await withRuntime(workers: 2) { runtime in
      #expect(Runtime.current === runtime)
      return Worker.current?.index
    }
    #expect(index == 0)
    #expect(Worker.current == nil && Runtime.current == nil)
    await #expect(throws: Stop()) { try await withRuntime(workers: 1) { _ in throw Stop() } }
  }

  @Test func `cancelling the caller reaches the waits of the body`() async throws {
    let began = Latch()
    let task = Task {
      try await withRuntime(workers: 1) { _ in
        began.open()
        return await failure { try await sleep(for: .seconds(1000)) }
      }
    }
    _ = await began.wait(for: ())
    task.cancel()
    #expect(try await task.value == .cancelled)
  }

  @Test func `a cancelled withRuntime has ended its workers when it returns`() async throws {
    for _ in 0..<50 {
      let began = Latch()
      let task = Task {
        try await withRuntime(workers: 2) { runtime in
          runtime.spawn(on: runtime.workers[1]) {
            _ = await failure { try await sleep(for: .seconds(1000)) }
            for _ in 0..<200 { await Task.yield() }
          }
          holder.withLock { $0 = runtime.workers[1] }
          began.open()
          try await sleep(for: .seconds(1000))
        }
      }
      _ = await began.wait(for: ())
      task.cancel()
      _ = await task.result
      #expect(holder.withLock { $0?.isClosed } == true)
    }
  }

  @Test func `no workers is refused`() async {
    #expect(await failure { try await withRuntime(workers: 0) { _ in } } == .invalidArgument)
  }

  @Test func `blockOn runs its body on the calling thread, and others on threads of their own`() async throws
  {
    let (here, marks, isWorker) = try await onThreadOfItsOwn {
      let here = unsafe UInt(bitPattern: culvert_thread_mark())
      let marks = try Runtime.blockOn(workers: 2) { runtime in
        let mine = unsafe UInt(bitPattern: culvert_thread_mark())
        let other = try await runtime.spawn(on: runtime.workers[1]) {
          unsafe UInt(bitPattern: culvert_thread_mark())
        }.value
        return [mine, other]
      }
      return (here, marks, Worker.current != nil)
    }
    #expect(marks[0] == here && marks[1] != here && !isWorker)
    await #expect(throws: Stop()) {
      try await onThreadOfItsOwn { try Runtime.blockOn { _ in throw Stop() } }
    }
  }

  @Test func `blockOn on a worker is refused`() async throws {
    try await onOneWorker { _ in
      func block() throws { try Runtime.blockOn { _ in } }
      #expect { try block() } throws: { ($0 as? IoError)?.code == .unsupported }
    }
  }

  @Test func `blockOn returns its body's value even if the body ended the runtime before`() async throws {
    let value = try await onThreadOfItsOwn {
      try Runtime.blockOn(workers: 2) { runtime in
        await runtime.shutDown()
        return Worker.current == nil ? 7 : 0
      }
    }
    #expect(value == 7)
  }

  @MainActor @Test func `blockOn on the main thread keeps the main actor waiting until it returns`()
    async throws
  {
    let ran = Tally()
    let task = try Runtime.blockOn { runtime in
      let task = Task { @MainActor in _ = ran.add() }
      for worker in runtime.workers { await worker.idle() }
      #expect(ran.value == 0)
      return task
    }
    await task.value
    #expect(ran.value == 1)
  }

  @Test func `the end of a runtime answers every waiter`() async throws {
    let runtime = try Runtime(Runtime.Configuration(workers: 2))
    let listener = try await TcpListener.bind("127.0.0.1:0")
    let pairs = try (0..<50).map { _ in try socketPair() }
    defer { for pair in pairs { close(pair.1) } }
    let bridges = try pairs.map { try BridgedFd(adopting: $0.0) }
    let waiting = Tally()
    var tasks: [Task<IoError.Code?, any Error>] = []
    for bridge in bridges {
      tasks.append(
        runtime.spawn {
          waiting.add()
          return await failure { try await bridge.asyncCall(.readable, readByte) }
        })
      tasks.append(
        runtime.spawn {
          waiting.add()
          return await failure { try await sleep(for: .seconds(1000)) }
        })
    }
    tasks.append(
      runtime.spawn {
        waiting.add()
        return await failure { _ = try await listener.accept() }
      })
    try await waiting.reached(tasks.count)
    // Twice at once, and from inside.
    async let first: Void = runtime.shutDown()
    async let second: Void = runtime.shutDown()
    runtime.spawn { await runtime.shutDown() }
    _ = await (first, second)
    for task in tasks { #expect(try await task.value == .shutDown) }
    // The next wait has one fixed answer; what is there can still be read; closing does not hang.
    for (pair, bridge) in zip(pairs, bridges) {
      #expect(await failure { try await bridge.asyncCall(.readable, readByte) } == .shutDown)
      #expect(writeByte(pair.1, 5))
      let count = try bridge.use(during: "read") { (fd) throws(IoError) in try readByte(fd) }
      #expect(count == 5)
      await bridge.closed()
    }
    #expect(await failure { try await listener.accept() } == .shutDown)
    await listener.closed()
  }

  @Test func `a task that outlives its runtime goes on elsewhere`() async throws {
    let runtime = try Runtime(Runtime.Configuration(workers: 1))
    let gate = Latch()
    let task = runtime.spawn {
      _ = await gate.wait(for: ())
      await Task.yield()
      return Worker.current == nil
    }
    await runtime.shutDown()
    gate.open()
    #expect(try await task.value)
  }

  @Test func `dropping the last reference ends the workers`() async throws {
    var runtime: Runtime? = try Runtime(Runtime.Configuration(workers: 2))
    let workers = try #require(runtime?.workers)
    runtime = nil
    for worker in workers { #expect(await worker.ended.wait(for: ()) == .ready) }
  }

  @Test func `2,000 waits on several runtimes, ended at a random moment, all get an answer`() async throws {
    for round in 0..<40 {
      let runtime = try Runtime(Runtime.Configuration(workers: 2))
      let pairs = try (0..<50).map { _ in try socketPair() }
      let tasks = try pairs.map { pair in
        let bridge = try BridgedFd(adopting: pair.0)
        // Half of them wait from the global executor, on a driver that may end before they are registered.
        let wait = { @Sendable in await failure { try await bridge.asyncCall(.readable, readByte) } }
        try runtime.workers[0].driver.handle.addIoSource(bridge.registration.info)
        return pair.1 % 2 == 0 ? runtime.spawn { await wait() } : Task { await wait() }
      }
      for _ in 0..<(round * 5) { await Task.yield() }
      await runtime.shutDown()
      for task in tasks { #expect(try await task.value == .shutDown) }
      for pair in pairs { close(pair.1) }
    }
  }
}

@Suite(.timeLimit(watchdog)) struct ThreadConfigurationTests {
  private func start(_ change: (inout ThreadConfiguration) -> Void) throws -> Runtime {
    var configuration = Runtime.Configuration(workers: 1)
    change(&configuration.thread)
    return try Runtime(configuration)
  }

  private func message(_ change: (inout ThreadConfiguration) -> Void) -> String {
    do {
      _ = try start(change)
      return "no error"
    } catch {
      return "\(error)"
    }
  }

  @Test func `what can't be is refused with an error that names it`() {
    #expect(message { $0.policy = .fifo(priority: 1000) }.contains("priority 1000: invalid argument"))
    #expect(message { $0.policy = .roundRobin(priority: 0) }.contains("priority 0: invalid argument"))
    #expect(message { $0.affinity = [] }.contains("an empty set of processors"))
    #expect(message { $0.affinity = [64] }.contains("processor 64"))
    #expect(message { $0.affinity = [-1] }.contains("processor -1"))
    #expect(message { $0.stackSize = 0 }.contains("stack size 0"))
    #expect(message { $0.stackSize = 1 }.contains("a stack of 1 bytes"))
  }

  #if os(Linux)
    @Test func `a processor that is not there is refused by the system, and the error says which`() throws {
      try #require(Platform.processorCount < 60)
      #expect(message { $0.affinity = [63] }.contains("processors [63]: invalid argument"))
    }

    @Test func `threads carry the name and run where they may`() async throws {
      let runtime = try start {
        $0.name = "ferry"
        $0.affinity = [0]
      }
      let status = try await runtime.spawn {
        try String(contentsOfFile: "/proc/thread-self/status", encoding: .utf8)
      }.value
      #expect(status.contains("Name:\tferry-0\n"))
      #expect(status.contains("Cpus_allowed_list:\t0\n"))
      await runtime.shutDown()
    }
  #endif
}

#if os(Linux)
  /// What the test's own process may open meanwhile (dispatch does, when it first needs to); a leak would be 50 or more.
  private let spare = 4

  @Suite(.timeLimit(watchdog)) struct ProcessTests {
    @Test func `200 starts and stops leave no descriptor open`() async {
      await #expect(processExitsWith: .success) {
        func once() async throws {
          try await withRuntime(workers: 2) { _ in
            let listener = try await TcpListener.bind("127.0.0.1:0")
            let stream = try await TcpStream.connect(to: listener.localAddress)
            let accepted = try await listener.accept()
            try await stream.write("x")
            _ = try await accepted.read(upTo: 1)
            async let silent = failure { try await accepted.read(upTo: 1) }
            await Task.yield()
            await listener.closed()
            accepted.close()
            _ = await silent
          }
        }
        try await once()
        let before = openDescriptorCount()
        for _ in 0..<200 { try await once() }
        #expect(openDescriptorCount() <= before + spare)
      }
    }

    @Test func `a process without standard input, output and error can run a runtime`() async {
      await #expect(processExitsWith: .success) {
        // Makes the system's own pool of threads open what it needs now: later it would take one of those numbers.
        try await Task.sleep(for: .milliseconds(1))
        for fd in 0..<3 { close(Int32(fd)) }
        try await withRuntime(workers: 2) { _ in
          let input = try StandardInput.open()
          let lines = BufferedReader(input)
          if try await lines.readLine() != nil { throw Stop() }
        }
        // What was closed is /dev/null now, and no descriptor of ours is taken for standard output.
        if (0..<3).contains(where: { culvert_file_type($0) != 0o020000 }) { throw Stop() }
      }
    }

    @Test func `a failed start leaves nothing behind`() async {
      await #expect(processExitsWith: .success) {
        try await withRuntime(workers: 1) { _ in }  // libuv keeps a pipe for signals from the first loop on
        let before = openDescriptorCount()
        for _ in 0..<50 {
          var configuration = Runtime.Configuration(workers: 3)
          configuration.thread.stackSize = 1
          #expect(throws: IoError.self) { try Runtime(configuration) }
        }
        #expect(openDescriptorCount() <= before + spare)
        var limit = rlimit()
        _ = unsafe getrlimit(.init(RLIMIT_NOFILE.rawValue), &limit)
        limit.rlim_cur = rlim_t(before + 10)
        _ = unsafe setrlimit(.init(RLIMIT_NOFILE.rawValue), &limit)
        let code = await failure { try Runtime(Runtime.Configuration(workers: 100)) }
        #expect(code == .tooManyDescriptors)
        // uv_loop_init of 1.44 itself leaves its epoll descriptor open when it fails later on.
        #expect(openDescriptorCount() <= before + 1 + spare)
      }
    }
  }
#endif
