// SPDX-License-Identifier: Apache-2.0
// The code of CancellationAndClose.md and BridgingACLibrary.md.

import CCulvert
import Culvert
import CulvertTesting
import Foundation
import Testing

@Suite(.timeLimit(watchdog)) struct EndingsArticleTests {
  @Test(.enabled(if: !isChaotic, "a read may be short")) func `a cancelled read has read nothing`()
    async throws
  {
    try await withRuntime(workers: 1) { runtime in
      let (peer, stream) = try await TcpStream.loopbackPair()
      let reading = runtime.spawn { try await stream.read(upTo: 5) }
      reading.cancel()
      await #expect(throws: IoError.self) { try await reading.value }
      try await peer.write("hello")
      #expect(try await stream.read(upTo: 5) == Array("hello".utf8))
    }
  }

  /// In a process of its own: a process that another test starts holds the port between fork and exec.
  @Test func `a port is free when its listener is closed`() async {
    await #expect(processExitsWith: .success) {
      let listener = try await TcpListener.bind("127.0.0.1:0")
      let address = try listener.localAddress
      await listener.closed()
      let again = try await TcpListener.bind(address)
      again.close()
    }
  }

  #if os(Linux)
    @Test func `a descriptor of another kind is waited for`() async throws {
      let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString).path
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
      defer { try? FileManager.default.removeItem(atPath: folder) }
      try await withRuntime(workers: 1) { runtime in
        let watching = runtime.spawn { try await changes(in: folder) }
        try await opened.reached(1)
        await runtime.workers[0].idle()
        try await offload { try "".write(toFile: folder + "/new", atomically: false, encoding: .utf8) }
        #expect(try await watching.value >= 16)
      }
    }

    private let opened = Tally()

    /// How many bytes the first event has.
    private func changes(in folder: String) async throws -> Int {
      let events = try BridgedFd(adopting: inotify_init1(Int32(IN_CLOEXEC)))
      guard unsafe inotify_add_watch(events.fd, folder, UInt32(IN_CREATE)) >= 0 else {
        throw IoError(errno: errno, during: "watch \(folder)")
      }
      opened.add()
      var buffer = [UInt8](repeating: 0, count: 4096)
      let count = try await events.asyncCall(.readable) { (fd) throws(IoError) -> Int? in
        let count = unsafe read(fd, &buffer, buffer.count)
        if count > 0 { return count }
        if errno == EAGAIN { return nil }
        throw IoError(errno: errno, during: "read the events of \(folder)")
      }
      return count
    }
  #endif
}
