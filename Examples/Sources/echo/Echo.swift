// SPDX-License-Identifier: Apache-2.0
// Sends back what it gets, on TCP. Shows the least that a server needs, with no allocation per request.
// Run it with `swift run echo --port 7000`, and then `nc 127.0.0.1 7000`.

import ArgumentParser
import Culvert
import Foundation

@main
struct Echo: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "echo",
    abstract: "A TCP echo server, on Culvert. Ctrl-C and SIGTERM end it; SIGUSR1 prints who waits.")

  @Option(help: "The numeric address to listen on.")
  var host = "127.0.0.1"

  @Option(help: "The port to listen on; 0 picks a free one.")
  var port: UInt16 = 7000

  @Option(help: "How many threads serve the connections.")
  var workers = 1

  func validate() throws {
    if workers < 1 { throw ValidationError("--workers must be at least 1.") }
  }

  func run() throws {
    let (host, port) = (host, Int(port))
    try Runtime.blockOn(workers: workers) { runtime in
      let signals = try await Signals.listen(to: .interrupt, .terminate, .user1)
      let listener = try await Self.listen(on: SocketAddress(host: host, port: port))
      let address = try listener.localAddress
      try FileHandle.standardOutput.write(contentsOf: Data("listening on \(address)\n".utf8))

      try await withThrowingTaskGroup(of: Void.self) { tasks in
        tasks.addTask {
          try await listener.serve { stream in
            var buffer = [UInt8](repeating: 0, count: 4096)
            while case let count = try await stream.read(into: &buffer), count > 0 {
              try await stream.write(buffer[..<count])
            }
          }
        }
        tasks.addTask {
          for await signal in signals {
            guard signal == .user1 else { return }
            FileHandle.standardError.write(Data((runtime.dump() + "\n").utf8))
          }
        }
        try await tasks.next()
        tasks.cancelAll()
      }
    }
  }

  /// Takes what a supervisor such as systemd holds open for this server, over restarts; else listens itself.
  private static func listen(on address: SocketAddress) async throws -> TcpListener {
    var inherited = try InheritedDescriptors.take()
    if let descriptor = inherited.next() { return try TcpListener(adopting: descriptor) }
    return try await TcpListener.bind(address)
  }
}
