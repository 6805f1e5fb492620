// SPDX-License-Identifier: Apache-2.0
// What the server answers: something of each kind that a client may ask for.

import FlyingFox
import FlyingSocks
import Foundation

enum Routes {
  static func add(to server: HTTPServer) async {
    let hello = Data("hello\n".utf8)
    await server.appendRoute("GET /hello") { _ in HTTPResponse(statusCode: .ok, body: hello) }
    // One write: FlyingFox sends head and body in two, and a kernel that is in no hurry holds the second back for 40 ms.
    await server.appendRoute("GET /empty") { _ in HTTPResponse(statusCode: .ok) }
    await server.appendRoute("POST /echo") { request in
      HTTPResponse(statusCode: .ok, body: try await request.bodyData)
    }
    await server.appendRoute("POST /count") { request in
      var count = 0
      for try await chunk in request.bodySequence { count += chunk.count }
      return HTTPResponse(statusCode: .ok, body: Data("\(count)\n".utf8))
    }
    await server.appendRoute("GET /bytes/:count") { (_: HTTPRequest, count: Int) in
      guard (0...1_000_000_000).contains(count) else { return HTTPResponse(statusCode: .badRequest) }
      return HTTPResponse(
        statusCode: .ok,
        body: HTTPBodySequence(from: Zeros(left: count), count: count, suggestedBufferSize: 65536))
    }
    await server.appendRoute("GET /chunked/:count") { (_: HTTPRequest, count: Int) in
      guard (0...1_000_000_000).contains(count) else { return HTTPResponse(statusCode: .badRequest) }
      return HTTPResponse(
        statusCode: .ok, body: HTTPBodySequence(from: Zeros(left: count), suggestedBufferSize: 65536))
    }
    await server.appendRoute("GET /never") { _ in
      try await Task.sleep(for: .seconds(3600))
      return HTTPResponse(statusCode: .ok)
    }
    await server.appendRoute("GET /socket", to: .webSocket(Echoes()))
  }
}

/// Bytes without a file behind them.
struct Zeros: AsyncBufferedSequence, AsyncBufferedIteratorProtocol {
  typealias Element = UInt8
  var left: Int

  func makeAsyncIterator() -> Zeros { self }

  mutating func next() async -> UInt8? { await nextBuffer(suggested: 1)?.first }

  mutating func nextBuffer(suggested count: Int) async -> [UInt8]? {
    if left == 0 { return nil }
    let count = Swift.min(left, count)
    left -= count
    return [UInt8](repeating: 0, count: count)
  }
}

/// Says what it hears.
struct Echoes: WSMessageHandler {
  func makeMessages(for client: AsyncStream<WSMessage>) async throws -> AsyncStream<WSMessage> { client }
}
