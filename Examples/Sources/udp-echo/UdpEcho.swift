// SPDX-License-Identifier: Apache-2.0
// Sends back each datagram it gets, on UDP. Shows the least that a server needs, with no allocation per datagram, and with
// --batch many of them for one system call.
// Run it with `swift run udp-echo --port 7000`, and then `socat - UDP:127.0.0.1:7000`.

import ArgumentParser
import Culvert
import Foundation

@main
struct UdpEcho: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "udp-echo", abstract: "A UDP echo server, on Culvert. Ctrl-C and SIGTERM end it.")

  @Option(help: "The numeric address to receive on.")
  var host = "127.0.0.1"

  @Option(help: "The port to receive on; 0 picks a free one.")
  var port: UInt16 = 7000

  @Flag(help: "Take and send up to 64 datagrams at a time.")
  var batch = false

  func run() throws {
    let (host, port, batch) = (host, Int(port), batch)
    try Runtime.blockOn(workers: 1) { _ in
      let signals = try await Signals.listen(to: .interrupt, .terminate)
      let socket = try await UdpSocket.bind(SocketAddress(host: host, port: port))
      try FileHandle.standardOutput.write(contentsOf: Data("listening on \(socket.localAddress)\n".utf8))
      try await withThrowingTaskGroup(of: Void.self) { tasks in
        tasks.addTask { try await batch ? Self.echoBatches(socket) : Self.echo(socket) }
        tasks.addTask { for await _ in signals { return } }
        try await tasks.next()
        tasks.cancelAll()
      }
    }
  }

  private static func echo(_ socket: UdpSocket) async throws {
    var buffer = [UInt8](repeating: 0, count: 65_535)
    while true {
      let datagram = try await socket.receive(into: &buffer)
      try await socket.send(buffer[..<datagram.count], to: datagram.sender)
    }
  }

  private static func echoBatches(_ socket: UdpSocket) async throws {
    let batch = try DatagramBatch(capacity: 64, size: 2048)
    while true {
      try await socket.receiveBatch(into: batch)
      try await socket.sendBatch(batch)
    }
  }
}
