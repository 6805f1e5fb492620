// SPDX-License-Identifier: Apache-2.0
// What Culvert logs, and at which level.

import Culvert
import CulvertTesting
import Logging
import Synchronization
import Testing

/// What was logged, and a tally to wait for it by.
final class Log: LogHandler, @unchecked Sendable {
  let count = Tally()
  private let lines = Mutex<[(level: Logger.Level, text: String)]>([])
  var logLevel: Logger.Level {
    get { .trace }
    set {}
  }
  var metadata: Logger.Metadata {
    get { [:] }
    set {}
  }
  subscript(metadataKey _: String) -> Logger.Metadata.Value? {
    get { nil }
    set {}
  }

  func log(event: LogEvent) {
    let values = (event.metadata ?? [:]).sorted { $0.key < $1.key }.map { " \($0.key)=\($0.value)" }
    lines.withLock { $0.append((event.level, "\(event.message)\(values.joined())")) }
    count.add()
  }

  var logger: Logger { Logger(label: "test") { _ in self } }
  func stalls(of worker: Int) -> Int {
    all.count { $0.text.contains("held up") && $0.text.contains("worker=\(worker)") }
  }
  var all: [(level: Logger.Level, text: String)] { lines.withLock { $0 } }
}

@Suite(.timeLimit(.minutes(1))) struct LoggingTests {
  let log = Log()

  @Test func `a handler that throws is told of once, with its connection`() async throws {
    struct Bug: Error {}
    let listener = try await TcpListener.bind("127.0.0.1:0")
    async let served: Void = listener.serve(onError: log.logger.reportFailure) { stream in
      _ = try await stream.read(upTo: 1)
      throw Bug()
    }
    let client = try await TcpStream.connect(to: listener.localAddress)
    try await client.write("x")
    try await log.count.reached(1)
    await listener.closed()
    try await served
    #expect(log.all.map(\.level) == [.info])
    let text = try #require(log.all.first?.text)
    #expect(text.contains("error=Bug()") && text.contains("127.0.0.1"), "\(text)")
  }

  @Test func `a peer that goes away is no news`() async throws {
    let (client, server) = try await TcpStream.loopbackPair()
    log.logger.reportFailure(IoError(.connectionReset, during: "read from \(server)"), of: server)
    log.logger.reportFailure(CancellationError(), of: server)
    log.logger.reportFailure(IoError(.malformed, during: "read a line"), of: server)
    #expect(log.all.map(\.level) == [.debug, .debug, .info])
    client.close()
  }

  @Test func `a pause of accepting is a warning`() async throws {
    let listener = try await TcpListener.bind("127.0.0.1:0", onPressure: log.logger.reportPressure)
    listener.close()
    log.logger.reportPressure(IoError(.tooManyDescriptors, during: "accept from \(listener)"))
    #expect(log.all.map(\.level) == [.warning])
    #expect(log.all.first?.text.contains("too many open file descriptors") == true)
  }

  @Test func `a worker that is held up is told of each time, and once for each`() async throws {
    try await withRuntime(workers: 2) { runtime in
      let limit = Duration.milliseconds(50)
      let watch = runtime.spawn { [log] in try await runtime.logStalls(of: limit, to: log.logger) }
      for _ in 1...2 {
        let told = try await runtime.spawn(on: runtime.workers[1]) { [log] in
          let before = log.stalls(of: 1)
          // This is what holds the worker up: until the log has heard of it, and then for some looks more.
          while log.stalls(of: 1) == before {}
          let heard = ContinuousClock.now
          while heard.duration(to: .now) < limit * 3 {}
          return log.stalls(of: 1) - before
        }.value
        #expect(told == 1)
      }
      watch.cancel()
      try await watch.value
    }
    #expect(log.all.allSatisfy { $0.level == .warning })
  }

  /// The article's (Services.md), which never ends.
  private func serve(in runtime: Runtime, _ logger: Logger) async throws {
    let listener = try await TcpListener.bind("127.0.0.1:0", onPressure: logger.reportPressure)
    async let _: Void = runtime.logStalls(of: .seconds(1), to: logger)
    try await listener.serve(onError: logger.reportFailure) { stream in
      _ = try await stream.read(upTo: 1)
    }
  }

  @Test func `the watch ends with the runtime`() async throws {
    let runtime = try Runtime(Runtime.Configuration(workers: 1))
    await runtime.shutDown()
    try await runtime.logStalls(to: log.logger)
    #expect(log.all.isEmpty)
  }
}
