// SPDX-License-Identifier: Apache-2.0
// WriteAChatServer.md: the program at each step, compiled and run.

import CCulvert
import Culvert
import CulvertTesting
import Testing

/// Everybody in the chat, each with the lines that are still to be written to them.
private actor Room {
  private var members: [String: AsyncStream<String>.Continuation] = [:]

  /// The lines for somebody new, or `nil` when the name is taken.
  func enter(_ name: String) -> AsyncStream<String>? {
    guard members[name] == nil else { return nil }
    let (lines, member) = AsyncStream.makeStream(of: String.self, bufferingPolicy: .bufferingOldest(100))
    members[name] = member
    say("* \(name) has come\n")
    return lines
  }

  func leave(_ name: String) {
    members.removeValue(forKey: name)?.finish()
    say("* \(name) has left\n")
  }

  /// Tells everybody. Who has 100 lines to read already gets no more, and is dropped.
  func say(_ line: String) {
    for member in members.values {
      if case .dropped = member.yield(line) { member.finish() }
    }
  }
}

/// Writes the lines as they come, and hangs up when there are no more.
private func tell(_ lines: AsyncStream<String>, to stream: TcpStream) async throws {
  defer { stream.close() }
  for await line in lines { try await stream.write(line) }
}

@Suite(.timeLimit(watchdog)) struct TutorialTests {
  private func echo() async throws {
    try await withRuntime { _ in
      let listener = try await TcpListener.bind("127.0.0.1:7777")
      try await listener.serve { stream in
        let reader = BufferedReader(stream, maximumLength: 1000)
        try await stream.write("* what is your name?\n")
        guard let name = try await reader.readLine() else { return }
        while let line = try await reader.readLine() {
          try await stream.write("\(name): \(line)\n")
        }
      }
    }
  }

  private func chat() async throws {
    try await withRuntime { _ in
      let room = Room()
      let listener = try await TcpListener.bind("127.0.0.1:7777")
      try await listener.serve { stream in
        let reader = BufferedReader(stream, maximumLength: 1000)
        try await stream.write("* what is your name?\n")
        guard let name = try await reader.readLine(), let lines = await room.enter(name) else { return }
        async let told: Void = tell(lines, to: stream)
        while let line = try? await reader.readLine() {
          await room.say("\(name): \(line)\n")
        }
        await room.leave(name)
        try await told
      }
    }
  }

  private func chatThatEndsWell() async throws {
    try await withRuntime { runtime in
      let room = Room()
      let listener = try await TcpListener.bind("127.0.0.1:7777")
      let server = listener.server(maximumConnections: 1000, grace: .seconds(5)) { stream, server in
        stream.readTimeout = .seconds(600)
        stream.writeTimeout = .seconds(10)
        let reader = BufferedReader(stream, maximumLength: 1000)
        try await stream.write("* what is your name?\n")
        guard let name = try await reader.readLine(), let lines = await room.enter(name) else { return }
        async let told: Void = tell(lines, to: stream)
        while (try? await server.waitForRequest(on: reader)) == true, let line = try? await reader.readLine()
        {
          await room.say("\(name): \(line)\n")
        }
        await room.leave(name)
        try await told
      }
      let signals = try await Signals.listen(to: .interrupt, .terminate)
      print(try await runtime.run(server, until: signals))
    }
  }

  @Test func `step 1 echoes with a name`() async throws {
    try await running(echo) { connect in
      let ann = try await connect()
      #expect(try await ann.readLine() == "* what is your name?")
      try await ann.write("ann\nhello\n")
      #expect(try await ann.readLine() == "ann: hello")
    }
  }

  @Test func `step 2 tells everybody, and lets nobody in under a name that is taken`() async throws {
    try await running(chat, talk)
  }

  @Test func `step 3 does the same, and ends with a signal`() async throws {
    let task = try await running(chatThatEndsWell, andLetItEnd: false, talk)
    kill(getpid(), Signals.end.rawValue)
    try await task.value
  }

  private func talk(_ connect: Connect) async throws {
    let (ann, bob, impostor) = (try await connect(), try await connect(), try await connect())
    try await ann.write("ann\n")
    for line in ["* what is your name?", "* ann has come"] { #expect(try await ann.readLine() == line) }
    try await impostor.write("ann\n")
    #expect(try await impostor.lines.readToEnd() == Array("* what is your name?\n".utf8))
    try await bob.write("bob\nhello\n")
    for line in ["* what is your name?", "* bob has come", "bob: hello"] {
      #expect(try await bob.readLine() == line)
    }
    try bob.stream.shutdown()
    #expect(try await bob.readLine() == nil)
    for line in ["* bob has come", "bob: hello", "* bob has left"] {
      #expect(try await ann.readLine() == line)
    }
  }

  @Test func `who does not read is dropped, and holds up nobody`() async throws {
    let room = Room()
    let (slow, quick) = (await room.enter("slow"), await room.enter("quick"))
    for number in 1...101 { await room.say("\(number)\n") }
    #expect(await slow?.reduce(0) { count, _ in count + 1 } == 100)
    await room.leave("slow")
    await room.leave("quick")
    _ = quick
  }
}

// MARK: what makes that testable

extension TutorialTests {
  private typealias Connect = @Sendable () async throws -> Client

  private struct Client {
    let stream: TcpStream
    let lines: BufferedReader<TcpStream>

    init(_ address: SocketAddress) async throws {
      stream = try await TcpStream.connect(to: address)
      lines = BufferedReader(stream)
    }

    func readLine() async throws -> String? { try await lines.readLine() }
    func write(_ text: String) async throws { try await stream.write(text) }
  }

  /// Runs `program` while `body` connects to it.
  @discardableResult
  private func running(
    _ program: @escaping @Sendable () async throws -> Void, andLetItEnd: Bool = true,
    _ body: (Connect) async throws -> Void
  ) async throws -> Task<Void, any Error> {
    let (listeners, bound) = AsyncStream.makeStream(of: Culvert.TcpListener.self)
    let task = Task {
      try await TcpListener.$bound.withValue(bound) {
        defer { bound.finish() }
        try await program()
      }
    }
    let listener = try #require(await listeners.first { _ in true })
    let address = try listener.localAddress
    try await body { try await Client(address) }
    if andLetItEnd {
      await listener.closed()
      try await task.value
    }
    return task
  }

  /// What the programs find under this name: a listener on a free port, which the test gets to know.
  private enum TcpListener {
    @TaskLocal static var bound: AsyncStream<Culvert.TcpListener>.Continuation?

    static func bind(_: String) async throws(IoError) -> Culvert.TcpListener {
      let listener = try await Culvert.TcpListener.bind("127.0.0.1:0")
      bound?.yield(listener)
      return listener
    }
  }

  /// And signals that nobody else sends.
  private enum Signals {
    static let end = Signal(rawValue: SIGCONT)

    static func listen(to _: Signal...) async throws(IoError) -> Culvert.Signals {
      try await Culvert.Signals.listen(to: end)
    }
  }

  private func print(_ report: ServeReport) { #expect(report.cut == 0) }
}
