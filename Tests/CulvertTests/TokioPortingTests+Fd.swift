// SPDX-License-Identifier: Apache-2.0
// ComingFromTokio.md: pipes, and any other descriptor.

import Culvert
import Foundation
import Testing

extension TokioPortingTests {
  @Test func `a pipe is a reader and a writer`() async throws {
    try await withRuntime(workers: 1) { _ in
      let (receiver, sender) = try PipeReader.pair()
      try await sender.ready(for: .writable)
      async let sent: Void = sender.write("hello")
      #expect(try await receiver.read(upTo: 16) == Array("hello".utf8))
      try await sent
      sender.close()
      #expect(try await receiver.read(upTo: 16) == nil)
      let end = try await receiver.releaseFd()
      _ = try PipeReader(adopting: end)
    }
  }

  @Test func `a FIFO is opened without blocking`() async throws {
    try await withRuntime(workers: 1) { _ in
      let path = freshPath()
      try #require(unsafe mkfifo(path, 0o600) == 0)
      defer { try? FileManager.default.removeItem(atPath: path) }
      let early = await failure {
        let end = OwnedFd(adopting: unsafe open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC))
        _ = try PipeWriter(adopting: end)
      }
      #expect(early == .badDescriptor)  // nobody reads yet
      let reading = OwnedFd(adopting: unsafe open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC))
      let receiver = try PipeReader(adopting: reading)
      let writing = OwnedFd(adopting: unsafe open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC))
      let sender = try PipeWriter(adopting: writing)
      try await sender.write([7])
      #expect(try await receiver.read(upTo: 16) == [7])
    }
  }

  @Test func `any descriptor is waited for, and given back`() async throws {
    try await withRuntime(workers: 1) { _ in
      let (stream, peer) = try UnixStream.pair()
      defer { peer.close() }
      let number = try await stream.releaseFd().take()
      let bridge = try BridgedFd(adopting: number)
      let ready: IoEventInterest = try await bridge.ready(for: [.readable, .writable])
      #expect(ready == .writable && ready.contains(.writable) && !ready.isEmpty)
      try await bridge.ready(for: .writable)
      #expect(ready.subtracting(.writable).isEmpty && ready.union(.readable) == [.readable, .writable])

      let borrowed = try BridgedFd(borrowing: bridge.fd)
      #expect(borrowed.fd != bridge.fd)
      borrowed.close()
      let again = try await bridge.releaseFd().take()
      close(again)
    }
  }

  @Test func `a call on a stream's descriptor waits as the stream's own do`() async throws {
    try await withRuntime(workers: 1) { _ in
      let (stream, peer) = try UnixStream.pair()
      try await peer.write("hello")
      var buffer = [UInt8](repeating: 0, count: 16)
      let count = try await stream.asyncCall(.readable) { fd in
        let count = unsafe recv(fd, &buffer, buffer.count, 0)
        return count < 0 && errno == EAGAIN ? nil : count
      }
      #expect(count == 5)
    }
  }

  @Test(.enabled(if: isLinux, onlyLinux)) func `interests that only Linux has`() async throws {
    try await withRuntime(workers: 1) { _ in
      let (stream, peer) = try UnixStream.pair()
      peer.close()
      #expect(try await stream.ready(for: .peerFinished) == .peerFinished)
      let ready = try await stream.ready(for: [.priority, .readable])
      #expect(ready.contains(.readable))
    }
  }
}
