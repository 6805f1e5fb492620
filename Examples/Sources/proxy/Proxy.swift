// SPDX-License-Identifier: Apache-2.0
// Carries each TCP connection on to another address, both ways. Shows how an end, and only a whole one, is passed on: who
// has said all may still listen, and a reset on one side is a reset on the other.
// Run it with `swift run proxy --port 7001 127.0.0.1:7000`, beside `swift run echo`, and then `nc 127.0.0.1 7001`.

import ArgumentParser
import Culvert
import Foundation

@main
struct Proxy: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "A TCP proxy, on Culvert. Ctrl-C and SIGTERM end it; SIGUSR1 prints who waits.")

  @Option(help: "The numeric address to listen on.")
  var host = "127.0.0.1"

  @Option(help: "The port to listen on; 0 picks a free one.")
  var port: UInt16 = 7001

  @Argument(help: "Where to carry connections, such as 127.0.0.1:7000.")
  var target: String

  func run() throws {
    let (host, port, target) = (host, Int(port), try SocketAddress(target))
    try Runtime.blockOn(workers: 1) { runtime in
      let signals = try await Signals.listen(to: .interrupt, .terminate, .user1)
      let listener = try await TcpListener.bind(SocketAddress(host: host, port: port))
      try FileHandle.standardOutput.write(contentsOf: Data("listening on \(listener.localAddress)\n".utf8))
      try await withThrowingTaskGroup(of: Void.self) { tasks in
        tasks.addTask { try await listener.serve { await carry($0, to: target) } }
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
}

private func carry(_ near: TcpStream, to target: SocketAddress) async {
  do {
    let far = try await TcpStream.connect(to: target)
    do {
      try await copyBidirectional(near, far)
    } catch {
      far.reset()
      throw error
    }
  } catch {
    // What has not arrived whole must not look as if it had.
    near.reset()
    FileHandle.standardError.write(Data("proxy: \(error)\n".utf8))
  }
}
