// SPDX-License-Identifier: Apache-2.0
// Looking up host names: the system's answers, and lookups that block, which the tests hold at will.
import CCulvert
import CulvertTesting
import Testing

@testable import Culvert

/// Lookups that hold their threads until they are let go.
private final class HeldLookups: Sendable {
  let begun = Tally()
  private let isOpen = Monitor(false)

  func open() { isOpen.update { $0 = true } }

  func resolver(threads: Int = 1, waiting: Int = 256, deadline: Duration = .seconds(3600)) -> SystemResolver {
    SystemResolver(threads: threads, waiting: waiting, deadline: deadline) { _, port in
      self.begun.add()
      self.isOpen.wait { $0 ? () : nil }
      return [.loopback(port: port)]
    }
  }
}

@Suite(.timeLimit(watchdog)) struct SystemResolverTests {
  @Test(arguments: Place.allCases)
  func `localhost is this machine, wherever the task runs`(place: Place) async throws {
    try await place.run {
      let addresses = try await resolve("localhost", port: 7)
      #expect(!addresses.isEmpty)
      for address in addresses { #expect([.loopback(port: 7), .loopback6(port: 7)].contains(address)) }
      async let child = SystemResolver.shared.resolve("localhost", port: 65_535)
      #expect(try await child.allSatisfy { $0.port == 65_535 })
    }
  }

  @Test func `a name that nobody has is not found, or can't be found out`() async {
    let error = await thrown { try await SystemResolver.shared.resolve("no-such-host.invalid", port: 1) }
    let codes: [IoError.Code] = [.hostNotFound, .lookupFailed, .timedOut]
    #expect(error.map { codes.contains($0.code) } == true, "\(String(describing: error))")
    #expect(error?.operation.hasPrefix("resolve no-such-host.invalid") == true)
  }

  @Test(arguments: Place.allCases)
  func `a thread's answer reaches the task that waits for it`(place: Place) async throws {
    let resolver = SystemResolver(threads: 2) { (host, port) throws(IoError) in
      if host == "none" { throw IoError(.hostNotFound, during: "resolve none") }
      return [.loopback(port: port)]
    }
    try await place.run {
      try await withThrowingTaskGroup { group in
        for port in 1...200 as ClosedRange<UInt16> {
          group.addTask {
            let code = await failure { try await resolver.resolve("none", port: 1) }
            #expect(code == .hostNotFound)
            let found = try await resolver.resolve("x", port: port)
            #expect(found == [.loopback(port: port)])
          }
        }
        try await group.waitForAll()
      }
    }
  }

  @Test(arguments: [true, false])
  func `whoever is cancelled leaves at once, though the lookup goes on`(isOwned: Bool) async throws {
    try await onOneWorker { worker in
      let held = HeldLookups()
      defer { held.open() }
      let resolver = held.resolver()
      let body = { @Sendable in try await resolver.resolve("slow", port: 1) }
      let runtime = try #require(Runtime.current)
      let task = isOwned ? runtime.spawn(body) : Task(executorPreference: worker) { try await body() }
      try await held.begun.reached(1)
      await worker.idle()
      task.cancel()
      let error = await thrown { try await task.value }
      #expect(error?.description == "resolve slow, which goes on: the task was cancelled")
      #expect(resolver.pool.load == (threads: 1, waiting: 0))
      // The thread is of use again for whoever comes.
      async let next = resolver.resolve("next", port: 2)
      await worker.idle()
      held.open()
      #expect(try await next == [.loopback(port: 2)])
    }
  }

  @Test func `whoever is cancelled before asks nobody`() async throws {
    let held = HeldLookups()
    held.open()
    let resolver = held.resolver()
    let gate = Gate()
    let task = Task {
      try? await gate.passed()
      return try await resolver.resolve("x", port: 1)
    }
    task.cancel()
    #expect(await failure { try await task.value } == .cancelled)
    #expect(held.begun.value == 0)
  }

  @Test(arguments: Place.allCases)
  func `a lookup has its deadline, in the queue as well`(place: Place) async throws {
    let held = HeldLookups()
    defer { held.open() }
    let resolver = held.resolver(deadline: .milliseconds(20))
    try await place.run {
      let start = MonotonicTime.now
      async let first = thrown { try await resolver.resolve("first", port: 1) }
      async let second = thrown { try await resolver.resolve("second", port: 1) }
      let errors = [await first, await second]
      #expect(errors.map(\.?.code) == [.timedOut, .timedOut])
      // Which of them a thread is at by then is for the system to say.
      let operations = errors.map { $0?.operation.replacing(", which goes on", with: "") }
      #expect(operations == ["resolve first", "resolve second"])
      #expect(MonotonicTime.now - start >= 20_000_000)
      #expect(resolver.pool.load.waiting == 0)
    }
  }

  @Test func `as many lookups run as there are threads, so many wait, and more are refused`() async throws {
    try await onOneWorker { worker in
      let held = HeldLookups()
      defer { held.open() }
      let resolver = held.resolver(threads: 3, waiting: 5)
      try await withThrowingTaskGroup { group in
        for _ in 0..<8 { group.addTask { _ = try await resolver.resolve("x", port: 1) } }
        try await held.begun.reached(3)
        await worker.idle()
        #expect(resolver.pool.load == (threads: 3, waiting: 5) && held.begun.value == 3)
        let error = await thrown { try await resolver.resolve("more", port: 1) }
        #expect(error?.description == "resolve more while 5 others are waiting: limit reached")
        held.open()
        try await group.waitForAll()
      }
      #expect(held.begun.value == 8)
    }
  }

  @Test func `a lookup that is left before its turn is never made, and its place is free`() async throws {
    try await onOneWorker { worker in
      let held = HeldLookups()
      defer { held.open() }
      let resolver = held.resolver(waiting: 1)
      async let first = resolver.resolve("first", port: 1)
      try await held.begun.reached(1)
      let left = Task(executorPreference: worker) { try await resolver.resolve("left", port: 1) }
      await worker.idle()
      #expect(resolver.pool.load.waiting == 1)
      left.cancel()
      #expect(await failure { try await left.value } == .cancelled)
      async let last = resolver.resolve("last", port: 3)
      await worker.idle()
      #expect(resolver.pool.load.waiting == 1)
      held.open()
      #expect(try await [first, last] == [[.loopback(port: 1)], [.loopback(port: 3)]])
      #expect(held.begun.value == 2)
    }
  }

  @Test func `a thread that can't be started is an error to all who counted on it, and the next is tried`()
    async throws
  {
    var thread = ThreadConfiguration()
    thread.affinity = []
    let resolver = SystemResolver(threads: 1, thread: thread)
    for _ in 0..<3 {
      let error = await thrown { try await resolver.resolve("x", port: 1) }
      #expect(error?.code == .invalidArgument)
      #expect(
        error?.operation == "resolve x (start thread culvert with an empty set of processors)")
      #expect(resolver.pool.load == (threads: 0, waiting: 0))
    }
  }

  @Test func `the end of the runtime answers who waits, and who comes later is served elsewhere`()
    async throws
  {
    let held = HeldLookups()
    let resolver = held.resolver()
    let runtime = try Runtime(Runtime.Configuration(workers: 1))
    let task = runtime.spawn {
      let error = await thrown { try await resolver.resolve("slow", port: 1) }
      #expect(error?.description == "resolve slow, which goes on: the runtime has ended")
      held.open()
      return try await resolver.resolve("late", port: 2)
    }
    try await held.begun.reached(1)
    await runtime.workers[0].idle()
    await runtime.shutDown()
    let code = await failure {
      let late = try await task.value
      #expect(late == [.loopback(port: 2)])
    }
    #expect(code == nil || code == .shutDown)  // while the worker ends, its timers have ended
  }

  #if FaultInjection
    @Test(arguments: [
      (ENOMEM, IoError.Code.outOfMemory), (EMFILE, .tooManyDescriptors), (EACCES, .permissionDenied),
    ])
    func `what the system fails with is what the task gets`(errno: Int32, code: IoError.Code) async {
      let script = FaultScript()
      script.add(.fail(EINTR), to: [.getaddrinfo], times: 2)
      script.add(.fail(errno), to: [.getaddrinfo], times: 1)
      let error = await script.run {
        await thrown { try await SystemResolver.shared.resolve("localhost", port: 1) }
      }
      #expect(error?.code == code && error?.errno == errno && error?.operation == "resolve localhost")
      #expect(script.injected[.getaddrinfo] == 3)
    }
  #endif
}
