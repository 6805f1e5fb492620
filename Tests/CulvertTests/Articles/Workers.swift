// SPDX-License-Identifier: Apache-2.0
// The code of RunningOnWorkers.md and Tuning.md.

import Culvert
import CulvertTesting
import Testing

private actor Counter {
  private let worker: Worker
  private var count = 0

  init(on worker: Worker) { self.worker = worker }

  nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe worker.serial.asUnownedSerialExecutor() }

  func add() -> Int {
    count += 1
    return count
  }
}

extension Counter {
  fileprivate var isAtHome: Bool { Worker.current === worker }
}

@Suite(.timeLimit(watchdog)) struct WorkersArticleTests {
  private func slowDigest(of bytes: [UInt8]) -> Int { bytes.reduce(0) { $0 &+ Int($1) } }

  @Test func `tasks and actors are where the article says`() async throws {
    try await withRuntime(workers: 2) { runtime in
      let (peer, stream) = try await TcpStream.loopbackPair()
      let task = runtime.spawn { try await stream.read(upTo: 4096) }
      let pinned = runtime.spawn(on: runtime.workers[1]) { Worker.current?.index }
      #expect(try await pinned.value == 1)
      try await peer.write("!")
      #expect(try await task.value == Array("!".utf8))
      let counter = Counter(on: runtime.workers[1])
      #expect(await counter.add() == 1)
      #expect(await counter.isAtHome)
      let bytes: [UInt8] = [1, 2]
      let digest = try await offload { slowDigest(of: bytes) }
      #expect(digest == 3)
    }
  }

  @Test func `a runtime is set up`() async throws {
    var configuration = Runtime.Configuration(workers: 2)
    configuration.thread.name = "server"
    configuration.limits.callsPerJob = 64
    configuration.limits.registrations = 10_000
    try await withRuntime(configuration) { runtime in
      #expect(runtime.workers.count == 2)
    }
  }

  @Test func `a server is a loop`() async throws {
    try await withRuntime(workers: 1) { _ in
      let listener = try await TcpListener.bind("127.0.0.1:0")
      async let served: Void = serve(listener)
      let client = try await TcpStream.connect(to: listener.localAddress)
      try await client.write("hello\n")
      #expect(try await BufferedReader(client).readLine() == "hello")
      await listener.closed()
      client.close()
      try await served
    }
  }

  private func serve(_ listener: TcpListener) async throws {
    try await listener.serve { stream in
      let reader = BufferedReader(stream, maximumLength: 4096)
      while let line = try await reader.readLine() {
        try await stream.write("\(line)\n")
      }
    }
  }

  /// Culvert.md's; not run, for it has a fixed port.
  private func echo() async throws {
    try await withRuntime { _ in
      let listener = try await TcpListener.bind("127.0.0.1:7777")
      try await listener.serve { stream in
        while let chunk = try await stream.read(upTo: 4096) { try await stream.write(chunk) }
      }
    }
  }
}
