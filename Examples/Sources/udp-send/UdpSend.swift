// SPDX-License-Identifier: Apache-2.0
// Sends datagrams in bulk, to a socket of its own that drops them, and prints how many a second of CPU time is good for:
// one system call for each, against `send(segments:of:to:)`, which has the kernel cut them.
// Run it with `swift run -c release udp-send`.

import Culvert
import Foundation

@main
struct UdpSend {
  static let size = 1200

  struct Sum {
    var datagrams = 0
    var seconds = 0.0
  }

  static func main() throws {
    try Runtime.blockOn(workers: 1) { _ in
      let sink = try await UdpSocket.bind("127.0.0.1:0")
      let socket = try await UdpSocket.bind("127.0.0.1:0")
      try socket.connect(to: sink.localAddress)
      let one = [UInt8](repeating: 7, count: size)
      let many = [UInt8](repeating: 7, count: size * 54)  // as many as fit into one call
      // In turns, since a machine's speed drifts.
      var (alone, joined) = (Sum(), Sum())
      for _ in 0..<20 {
        try await measure(54, &alone) { for _ in 0..<54 { try await socket.send(one) } }
        try await measure(54, &joined) { try await socket.send(segments: many, of: size) }
      }
      let rates = [alone, joined].map { Double($0.datagrams) / $0.seconds }
      print("datagrams per CPU second, one by one:", Int(rates[0]))
      print("datagrams per CPU second, in segments:", Int(rates[1]))
      print("ratio:", rates[1] / rates[0])
    }
  }

  /// Repeats `body`, which sends `count` datagrams, for a tenth of a second of CPU time.
  static func measure(
    _ count: Int, _ sum: inout Sum, _ body: () async throws -> Void
  ) async throws {
    let start = Double(clock())
    let end = start + Double(CLOCKS_PER_SEC) / 10
    while Double(clock()) < end {
      try await body()
      sum.datagrams += count
    }
    sum.seconds += (Double(clock()) - start) / Double(CLOCKS_PER_SEC)
  }
}
