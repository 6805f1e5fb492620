// SPDX-License-Identifier: Apache-2.0
// SwiftNIO's two ways to echo, on one event loop: a ChannelHandler, and NIOAsyncChannel with a task for each connection.
//   nio-echo handler | channel      prints "listening on 127.0.0.1:P"; any signal ends it

import Foundation
import NIOCore
import NIOPosix

@main
struct NioEcho {
  static func main() async throws {
    let bootstrap = ServerBootstrap(group: MultiThreadedEventLoopGroup(numberOfThreads: 1))
      .serverChannelOption(.backlog, value: 1024)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
    switch CommandLine.arguments.last {
    case "handler": try await serveWithHandlers(bootstrap)
    case "channel": try await serveWithTasks(bootstrap)
    default: exit(2)
    }
  }

  static func serveWithHandlers(_ bootstrap: sending ServerBootstrap) async throws {
    let server =
      try await bootstrap
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(Handler()) }
      }
      .bind(host: "127.0.0.1", port: 0).get()
    try announce(server)
    try await server.closeFuture.get()
  }

  static func serveWithTasks(_ bootstrap: sending ServerBootstrap) async throws {
    let server = try await bootstrap.bind(host: "127.0.0.1", port: 0) { channel in
      channel.eventLoop.makeCompletedFuture {
        try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
      }
    }
    try announce(server.channel)
    try await withThrowingDiscardingTaskGroup { group in
      try await server.executeThenClose { connections in
        for try await connection in connections {
          group.addTask { try? await echo(connection) }
        }
      }
    }
  }

  static func echo(_ connection: NIOAsyncChannel<ByteBuffer, ByteBuffer>) async throws {
    try await connection.executeThenClose { inbound, outbound in
      for try await bytes in inbound { try await outbound.write(bytes) }
    }
  }

  static func announce(_ channel: any Channel) throws {
    let port = channel.localAddress?.port ?? 0
    try FileHandle.standardOutput.write(contentsOf: Data("listening on 127.0.0.1:\(port)\n".utf8))
  }

  final class Handler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    func channelRead(context: ChannelHandlerContext, data: NIOAny) { context.write(data, promise: nil) }

    func channelReadComplete(context: ChannelHandlerContext) { context.flush() }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
  }
}
