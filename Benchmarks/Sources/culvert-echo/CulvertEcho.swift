// SPDX-License-Identifier: Apache-2.0
// The ways to write a connection's handler that are measured beside the plain one (the example `echo`).
//   culvert-echo WAY [BUFFER]      prints "listening on 127.0.0.1:P"; any signal ends it

import Culvert
import Foundation

@main
struct CulvertEcho {
  enum Way: String {
    case plain, chunk, readTimeout, withTimeout, child, lines, actor, global, noRuntime, sink, source
  }

  static func main() async throws {
    let arguments = CommandLine.arguments.dropFirst()
    guard let way = arguments.first.flatMap(Way.init) else { exit(2) }
    let size = arguments.dropFirst().first.flatMap { Int($0) } ?? 4096
    switch way {
    case .noRuntime: try await acceptAndEcho(size)
    case .global: try await withRuntime(workers: 1) { _ in try await echoInTasks(size) }
    default:
      let handler = handler(way, size)
      try await withRuntime(workers: 1) { _ in try await listen().serve(handler) }
    }
  }

  static func listen() async throws -> TcpListener {
    let listener = try await TcpListener.bind("127.0.0.1:0")
    try FileHandle.standardOutput.write(contentsOf: Data("listening on \(listener.localAddress)\n".utf8))
    return listener
  }

  /// A program that knows nothing of runtimes: the tasks run in the global executor, a shared worker polls.
  static func acceptAndEcho(_ size: Int) async throws {
    let listener = try await listen()
    try await withThrowingDiscardingTaskGroup { group in
      for try await stream in listener.connections {
        group.addTask { try? await Handlers.plain(stream, size) }
      }
    }
  }

  /// A program that has a runtime, and starts tasks which do not inherit it.
  static func echoInTasks(_ size: Int) async throws {
    for try await stream in try await listen().connections {
      Task { try await Handlers.plain(stream, size) }
    }
  }

  static func handler(_ way: Way, _ size: Int) -> @Sendable (TcpStream) async throws -> Void {
    let total = Handlers.Total()
    return switch way {
    case .chunk: { try await Handlers.chunks($0) }
    case .readTimeout: { try await Handlers.readTimeout($0, size) }
    case .withTimeout: { try await Handlers.limited($0, size) }
    case .child: { try await Handlers.children($0, size) }
    case .lines: { try await Handlers.lines($0) }
    case .actor: { try await Handlers.counted($0, size, total) }
    case .sink: { try await Handlers.sink($0) }
    case .source: { try await Handlers.source($0, size) }
    case .plain, .global, .noRuntime: { try await Handlers.plain($0, size) }
    }
  }
}
