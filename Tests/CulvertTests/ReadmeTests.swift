// SPDX-License-Identifier: Apache-2.0
// The README's code stands here once more, between markers, where it is compiled and run; a test compares the two
// texts. Culvert is imported as a user imports it.

import Culvert
import CulvertTLS
import CulvertTesting
import Foundation
import Testing

@Suite(.timeLimit(watchdog)) struct ReadmeTests {
  private func echo() async throws {
    // README begins
    try await withRuntime { _ in
      let listener = try await TcpListener.bind("127.0.0.1:7777")
      try await listener.serve { stream in
        var buffer = [UInt8](repeating: 0, count: 4096)
        while case let count = try await stream.read(into: &buffer), count > 0 {
          try await stream.write(buffer[..<count])
        }
      }
    }
    // README ends
  }

  private func repeatLines(_ listener: Culvert.TcpListener, in runtime: Runtime, print: (ServeReport) -> Void)
    async throws
  {
    // README begins
    let server = listener.server(maximumConnections: 10_000, grace: .seconds(10)) { stream, server in
      let reader = BufferedReader(stream)
      while try await server.waitForRequest(on: reader), let line = try await reader.readLine() {
        try await stream.write("\(line)\n")
      }
    }
    let signals = try await Signals.listen(to: .interrupt, .terminate)
    let report = try await runtime.run(server, until: signals)
    print(report)  // served 1, failed 0, cut 0
    // README ends
  }

  private func speakTls() async throws {
    // README begins
    let stream = try await TlsStream.connect(host: "example.org", port: 443)
    try await stream.write("GET / HTTP/1.0\r\nHost: example.org\r\n\r\n")
    while let chunk = try await stream.read(upTo: 4096) { print(chunk.count) }

    var configuration = TlsConfiguration()
    configuration.identity = try TlsIdentity(certificateFile: "cert.pem", keyFile: "key.pem")
    let context = try TlsContext(server: configuration)
    let listener = try await TlsListener.bind("0.0.0.0:443", context: context)
    try await listener.serve { stream in
      while let chunk = try await stream.read(upTo: 4096) { try await stream.write(chunk) }
    }
    // README ends
  }

  /// What the README's server listens for: nobody else sends it, and it does nothing to who does not listen.
  private enum Signals {
    static let end = Signal(rawValue: SIGWINCH)

    static func listen(to signals: Signal...) async throws(IoError) -> Culvert.Signals {
      try await Culvert.Signals.listen(to: end)
    }
  }

  @Test func `the README's second server ends with a signal, and reports`() async throws {
    try await withRuntime(workers: 1) { runtime in
      let listener = try await Culvert.TcpListener.bind("127.0.0.1:0")
      try await confirmation { printed in
        async let served: Void = repeatLines(listener, in: runtime) { report in
          #expect("\(report)" == "served 1, failed 0, cut 0")
          printed()
        }
        let client = try await TcpStream.connect(to: listener.localAddress)
        try await client.write("hello\n")
        let lines = BufferedReader(client)
        #expect(try await lines.readLine() == "hello")
        kill(getpid(), Signals.end.rawValue)
        #expect(try await lines.readLine() == nil)
        try await served
      }
    }
  }

  @Test func `the README's error is what it says`() async {
    await confirmation { printed in
      func print(_ error: IoError) {
        #expect("\(error)" == "connect to 127.0.0.1:1: connection refused")
        printed()
      }
      // README begins
      do throws(IoError) {
        _ = try await TcpStream.connect(to: "127.0.0.1:1")
      } catch {
        if error.code == .connectionRefused { print(error) }  // connect to 127.0.0.1:1: connection refused
      }
      // README ends
    }
  }

  /// What the README's server finds under this name: a listener on a free port, which the test gets to know.
  private enum TcpListener {
    @TaskLocal static var bound: AsyncStream<Culvert.TcpListener>.Continuation?

    static func bind(_ address: String) async throws(IoError) -> Culvert.TcpListener {
      let listener = try await Culvert.TcpListener.bind(address.replacing(":7777", with: ":0"))
      bound?.yield(listener)
      return listener
    }
  }

  @Test func `the README's server sends back what it gets`() async throws {
    let (listeners, bound) = AsyncStream.makeStream(of: Culvert.TcpListener.self)
    async let served: Void = TcpListener.$bound.withValue(bound) {
      defer { bound.finish() }
      try await echo()
    }
    let listener = try #require(await listeners.first { _ in true })
    let stream = try await TcpStream.connect(to: listener.localAddress)
    let sent = countingBytes(10_000)
    try await stream.write(sent)
    try stream.shutdown()
    var got: [UInt8] = []
    while let some = try await stream.read(upTo: 4096) { got += some }
    #expect(got == sent)
    await listener.closed()
    try await served
  }

  @Test func `the README's tools for tests do what it says`() async throws {
    try await withRuntime(workers: 1) { runtime in
      let worker = runtime.workers[0]
      // README begins
      let (client, server) = try await TcpStream.loopbackPair()
      async let chunk = server.read(upTo: 10)
      await worker.idle()  // everybody on this worker waits now, the read too
      try await client.write("hello")

      let clogged = try TcpStream.clogged()  // a stream that takes no byte more, until clogged.unclog()
      let gate = Gate()  // holds tasks back, until gate.open()
      let served = Tally()  // counts, and try await served.reached(100) waits
      // README ends
      let got = try await chunk ?? []
      #expect(!got.isEmpty && "hello".utf8.starts(with: got))  // under chaos a read may be short
      async let written: Void = clogged.stream.write("x")
      async let passed: Void = gate.passed()
      async let counted: Void = served.reached(100)
      await worker.idle()
      try await clogged.unclog()
      gate.open()
      served.add(100)
      _ = try await (written, passed, counted)
    }
  }

  @Test func `the README's streams are streams`() async throws {
    // README begins
    let report = try await StreamConformance.check { try await TcpStream.loopbackPair() }
    #expect(report.failures.isEmpty, "\(report)")
    // README ends
  }

  @Test func `the README's hour is over at once`() async throws {
    // README begins
    let clock = VirtualClock()
    try await withRuntime(clock: clock) { runtime in
      let (client, server) = try await TcpStream.loopbackPair()
      let answer = runtime.spawn { try await withTimeout(.seconds(3600)) { try await server.read(upTo: 1) } }
      await clock.advance(by: .seconds(3600))
      await #expect(throws: IoError.self) { try await answer.value }  // .timedOut
      client.close()
    }
    // README ends
    #expect(clock.elapsed == .seconds(3600))
  }

  @Test func `the README's code is the code that is compiled here`() throws {
    let here = URL(filePath: #filePath)
    let readme = here.deletingLastPathComponent().appending(path: "../../README.md")
    let shown = try blocks(in: readme, from: "```swift", to: "```")
      .filter { !$0.contains("import PackageDescription") }
    let compiled = try blocks(in: here, from: "// README begins", to: "// README ends")
    try #require(shown.count == compiled.count && !shown.isEmpty)
    for (shown, compiled) in zip(shown, compiled) { #expect(shown == compiled) }
  }

  /// The texts between lines that say `from` and `to`, at the margin, without imports.
  private func blocks(in file: URL, from: String, to: String) throws -> [String] {
    var blocks: [String] = []
    var block: [Substring]?
    let text = try String(contentsOf: file, encoding: .utf8)
    for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
      let words = line.trimmingCharacters(in: .whitespaces)
      if words == from {
        block = []
      } else if words == to, let ended = block {
        blocks.append(atMargin(ended))
        block = nil
      } else {
        block?.append(line)
      }
    }
    return blocks
  }

  private func atMargin(_ lines: [Substring]) -> String {
    let code = lines.filter { !$0.hasPrefix("import Culvert") }.drop(while: \.isEmpty)
    let margin = code.filter { !$0.isEmpty }.map { $0.prefix { $0 == " " }.count }.min() ?? 0
    return code.map { String($0.dropFirst(margin)) }.joined(separator: "\n")
  }
}
