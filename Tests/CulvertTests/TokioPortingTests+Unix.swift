// SPDX-License-Identifier: Apache-2.0
// ComingFromTokio.md: Unix sockets.

import Culvert
import Foundation
import Testing

extension TokioPortingTests {
  @Test func `a Unix listener, and a stream to it`() async throws {
    try await withRuntime(workers: 1) { _ in
      let path = freshPath()
      let listener = try await UnixListener.bind("unix:\(path)", mode: 0o600)
      let stream = try await UnixStream.connect(to: "unix:\(path)")
      let accepted = try await listener.accept()
      #expect(stream.peerAddress == (try listener.localAddress) && stream.peerAddress.host == path)
      #expect(accepted.peerAddress.host.isEmpty)

      let credentials = try accepted.peerCredentials
      #expect(credentials.uid == getuid() && credentials.gid == getgid())
      #expect(credentials.pid == getpid())
      listener.close()
      #expect(!exists(path))
    }
  }

  @Test(.enabled(if: isLinux, onlyLinux)) func `abstract names`() async throws {
    try await withRuntime(workers: 1) { _ in
      let name = String(freshPath().dropFirst("/tmp/".count))
      let listener = try await UnixListener.bind("unix:@\(name)")
      let stream = try await UnixStream.connect(to: .unix(abstract: name))
      #expect(stream.peerAddress.host == "@\(name)")
      #expect(try listener.localAddress == .unix(abstract: name))
    }
  }

  @Test func `listeners, streams and datagram sockets change hands`() async throws {
    try await withRuntime(workers: 1) { _ in
      let path = freshPath()
      var listener = try await UnixListener.bind(.unix(path: path))
      defer { try? FileManager.default.removeItem(atPath: path) }  // what was given away leaves its file
      listener = try UnixListener(adopting: await listener.releaseFd())
      var (stream, peer) = try UnixStream.pair()
      stream = try UnixStream(adopting: await stream.releaseFd())
      try await stream.write("hello")
      #expect(try await peer.readExactly(5) == Array("hello".utf8))
      var (socket, other) = try UnixDatagram.pair()
      socket = try UnixDatagram(adopting: await socket.releaseFd())
      try await socket.send([7])
      #expect(try await other.receive(upTo: 16).bytes == [7])
    }
  }

  @Test func `Unix datagrams`() async throws {
    try await withRuntime(workers: 1) { _ in
      let path = freshPath()
      let server = try await UnixDatagram.bind("unix:\(path)", mode: 0o622)
      let socket = try UnixDatagram.unbound()
      let bytes = Array("hello".utf8)
      var buffer = [UInt8](repeating: 0, count: 2048)

      try await socket.send(bytes, to: .unix(path: path))
      try socket.connect(to: "unix:\(path)")
      try await socket.send(bytes)
      #expect(try socket.trySend(bytes))
      let datagram = try await server.receive(into: &buffer)
      #expect(datagram.count == 5 && datagram.sender.host.isEmpty)
      #expect(try server.tryReceive(into: &buffer)?.count == 5)
      #expect(try await server.peek(into: &buffer).count == 5)
      #expect(try socket.peerAddress == (try server.localAddress))
      try socket.disconnect()
    }
  }

  @Test func `open files travel between processes`() async throws {
    try await withRuntime(workers: 1) { _ in
      let (stream, peer) = try UnixStream.pair()
      try await stream.send([1], descriptors: [STDERR_FILENO])
      try stream.shutdown()
      var count = 0
      while var message = try await peer.receive(upTo: 16) {
        while let descriptor = message.nextDescriptor() { count += descriptor.fd >= 0 ? 1 : 0 }
      }
      #expect(count == 1)
    }
  }
}
