// SPDX-License-Identifier: Apache-2.0
// What each way does with a connection.

import Culvert

enum Handlers {
  static func plain(_ stream: TcpStream, _ size: Int) async throws {
    var buffer = [UInt8](repeating: 0, count: size)
    while case let count = try await stream.read(into: &buffer), count > 0 {
      try await stream.write(buffer[..<count])
    }
  }

  /// A connection that waits holds no buffer.
  static func chunks(_ stream: TcpStream) async throws {
    while let bytes = try await stream.withChunk({ chunk in
      unsafe chunk.withUnsafeBytes { unsafe Array($0) }
    }) {
      try await stream.write(bytes)
    }
  }

  static func readTimeout(_ stream: TcpStream, _ size: Int) async throws {
    stream.readTimeout = .seconds(30)
    try await plain(stream, size)
  }

  static func limited(_ stream: TcpStream, _ size: Int) async throws {
    while let bytes = try await withTimeout(.seconds(30), { try await stream.read(upTo: size) }) {
      try await stream.write(bytes)
    }
  }

  static func children(_ stream: TcpStream, _ size: Int) async throws {
    while true {
      async let chunk = stream.read(upTo: size)
      guard let bytes = try await chunk else { return }
      try await stream.write(bytes)
    }
  }

  static func lines(_ stream: TcpStream) async throws {
    let reader = BufferedReader(stream)
    while let line = try await reader.readLine() {
      try await stream.write("\(line)\n")
    }
  }

  actor Total {
    private var bytes = 0

    func add(_ count: Int) { bytes += count }
  }

  static func counted(_ stream: TcpStream, _ size: Int, _ total: Total) async throws {
    var buffer = [UInt8](repeating: 0, count: size)
    while case let count = try await stream.read(into: &buffer), count > 0 {
      await total.add(count)
      try await stream.write(buffer[..<count])
    }
  }

  /// One buffer for all connections, as the C program has.
  static func sink(_ stream: TcpStream) async throws {
    while try await stream.withChunk({ $0.byteCount }) != nil {}
  }

  static func source(_ stream: TcpStream, _ size: Int) async throws {
    let bytes = [UInt8](repeating: 0x5a, count: size)
    while true { try await stream.write(bytes) }
  }
}
