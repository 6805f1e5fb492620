// SPDX-License-Identifier: Apache-2.0
// SwiftNIO with NIOSSL: a ChannelHandler that echoes, on one event loop.
//   nio-tls-echo CERTIFICATE KEY      prints "listening on 127.0.0.1:P"; any signal ends it

import Foundation
import NIOCore
import NIOPosix
import NIOSSL

@main
struct NioTlsEcho {
  static func main() async throws {
    let arguments = CommandLine.arguments
    guard arguments.count == 3 else { exit(2) }
    let context = try NIOSSLContext(
      configuration: .makeServerConfiguration(
        certificateChain: NIOSSLCertificate.fromPEMFile(arguments[1]).map { .certificate($0) },
        privateKey: .privateKey(NIOSSLPrivateKey(file: arguments[2], format: .pem))))
    let server =
      try await ServerBootstrap(group: MultiThreadedEventLoopGroup(numberOfThreads: 1))
      .serverChannelOption(.backlog, value: 1024)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandlers(NIOSSLServerHandler(context: context), Echo())
        }
      }
      .bind(host: "127.0.0.1", port: 0).get()
    let port = server.localAddress?.port ?? 0
    try FileHandle.standardOutput.write(contentsOf: Data("listening on 127.0.0.1:\(port)\n".utf8))
    try await server.closeFuture.get()
  }

  final class Echo: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    func channelRead(context: ChannelHandlerContext, data: NIOAny) { context.write(data, promise: nil) }

    func channelReadComplete(context: ChannelHandlerContext) { context.flush() }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
  }
}
