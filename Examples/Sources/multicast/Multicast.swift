// SPDX-License-Identifier: Apache-2.0
// Joins a group and prints what is sent to it, with its sender; with --send it sends one datagram to the group instead. On the
// loopback interface unless told otherwise, so nothing leaves the machine.
// Run `swift run multicast`, several times if you like, and then `swift run multicast --send hello`. Ctrl-C ends it.

import ArgumentParser
import Culvert
import Foundation

@main
struct Multicast: ParsableCommand {
  @Option(help: "The group's address and port.") var group = "239.1.2.3:7000"
  @Option(help: "An address of the network interface, with port 0.") var interface = "127.0.0.1:0"
  @Option(help: "Send this text, and end.") var send: String?

  func run() throws {
    let (group, text) = (try SocketAddress(group), send)
    let mine = try SocketAddress(interface)
    try Runtime.blockOn(workers: 1) { _ in
      let signals = try await Signals.listen(to: .interrupt, .terminate)
      if let text { return try await Self.send(text, to: group, from: mine) }
      // Others on this machine may want to join as well.
      let socket = try await UdpSocket.bind(group, reuseAddress: true)
      try socket.join(group, on: .address(mine))
      try FileHandle.standardOutput.write(contentsOf: Data("joined \(group)\n".utf8))
      try await withThrowingTaskGroup(of: Void.self) { tasks in
        tasks.addTask {
          for try await (bytes, datagram) in socket.datagrams() {
            let line = "\(datagram.sender): \(String(decoding: bytes, as: UTF8.self))\n"
            try FileHandle.standardOutput.write(contentsOf: Data(line.utf8))
          }
        }
        tasks.addTask { for await _ in signals { return } }
        try await tasks.next()
        tasks.cancelAll()
      }
    }
  }

  private static func send(_ text: String, to group: SocketAddress, from mine: SocketAddress) async throws {
    let socket = try await UdpSocket.bind(mine)
    try socket.sendMulticast(by: .address(mine))
    try await socket.send(Array(text.utf8), to: group)
  }
}
