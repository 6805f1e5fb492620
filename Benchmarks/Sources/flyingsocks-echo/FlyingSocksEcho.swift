// SPDX-License-Identifier: Apache-2.0
// An echo server on FlyingSocks: a task for each connection, all on the global executor, and its epoll pool.
//   flyingsocks-echo      prints "listening on 127.0.0.1:P"; any signal ends it

import FlyingSocks
import Foundation

@main
struct FlyingSocksEcho {
  static func main() async throws {
    let pool: some AsyncSocketPool = .make(maxEvents: 256)
    let socket = try Socket(domain: AF_INET)
    try socket.setValue(true, for: .localAddressReuse)
    try socket.bind(to: .inet(ip4: "127.0.0.1", port: 0))
    try socket.listen(maxPendingConnection: 1024)
    try await pool.prepare()
    guard case .ip4(_, let port) = try socket.sockname() else { exit(1) }
    try FileHandle.standardOutput.write(contentsOf: Data("listening on 127.0.0.1:\(port)\n".utf8))
    try await withThrowingDiscardingTaskGroup { group in
      group.addTask { try await pool.run() }
      let listener = try AsyncSocket(socket: socket, pool: pool)
      for try await connection in listener.sockets {
        group.addTask { await echo(connection) }
      }
    }
  }

  static func echo(_ connection: AsyncSocket) async {
    defer { try? connection.close() }
    do {
      while true {
        let bytes = try await connection.read(atMost: 4096)
        try await connection.write(Data(bytes))
      }
    } catch {}  // the end of the connection is an error, too
  }
}
