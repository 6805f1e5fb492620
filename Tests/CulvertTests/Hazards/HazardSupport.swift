// SPDX-License-Identifier: Apache-2.0
// What the hazard suites measure by. A hazard's number is its row in the list of bugs that other runtimes had.
import CCulvert
import CulvertTesting
import Foundation
import Testing

@testable import Culvert

/// How many turns a worker's loop takes in 100 ms in which nobody has anything to do: one or two, where a spin takes
/// thousands. To be called on that worker.
func turnsWhileIdle(_ worker: Worker) async throws -> UInt64 {
  await worker.idle()
  let before = worker.driver.turn
  try await sleep(for: .milliseconds(100))
  return worker.driver.turn - before
}

/// More than the alarm and a late event cause in `turnsWhileIdle`.
let aFewTurns: UInt64 = 20

/// Runs each job at once, within the call that makes it ready: a task that is woken by a poll callback goes on inside it.
final class InlineExecutor: TaskExecutor {
  func enqueue(_ job: consuming ExecutorJob) {
    unsafe job.runSynchronously(on: asUnownedTaskExecutor())
  }
  func asUnownedTaskExecutor() -> UnownedTaskExecutor { unsafe UnownedTaskExecutor(ordinary: self) }
}

/// Blocks the calling thread until `body` has run on another one.
func onAnotherThread(_ body: @escaping @Sendable () -> Void) {
  let done = Monitor(false)
  do {
    try Thread.start(ThreadConfiguration(), name: "test") {
      body()
      done.update { $0 = true }
    }
    done.wait { $0 ? () : nil }
  } catch {
    Issue.record(error)
  }
}

/// A pipe's reading and its writing end.
func pipeEnds() throws -> (reading: Int32, writing: Int32) {
  var fds: [Int32] = [-1, -1]
  try #require(unsafe pipe(&fds) == 0)
  return (fds[0], fds[1])
}

/// Has the next close of a TCP socket send a reset, which leaves no port in TIME_WAIT.
func resetOnClose(_ fd: Int32) {
  var linger = linger(l_onoff: 1, l_linger: 0)
  let size = socklen_t(MemoryLayout.size(ofValue: linger))
  #expect(unsafe setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, size) == 0)
}

#if os(Linux)
  /// Whether the kernel watches the descriptor for one of this process's loops, as it says itself, whoever has the number
  /// now. Only for tests that run in a process of their own.
  func isWatched(_ fd: Int32) throws -> Bool {
    try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").contains { name in
      // The descriptor that the directory was read with is gone by now.
      let info = try? String(contentsOfFile: "/proc/self/fdinfo/\(name)", encoding: .utf8)
      return info?.split(separator: "\n").contains { line in
        let words = line.split(separator: " ")
        return words.count > 1 && words[0] == "tfd:" && words[1] == "\(fd)"
      } ?? false
    }
  }
#endif

/// Each kind of thing that can be read from and waited for.
enum Source: CaseIterable {
  case tcp, unix, pipe, unixDatagram, udp, terminal
  /// The other way round: the writing end of a pipe, and its reader.
  case pipeToWrite

  static let allCases: [Source] = [.tcp, .unix, .pipe, .unixDatagram, .udp, .terminal]

  /// Whether its reader is told when the other end is closed.
  var hasEnd: Bool { self != .unixDatagram && self != .udp }

  /// A descriptor to read from, and one to write to it by.
  func make() async throws -> (mine: Int32, theirs: Int32) {
    switch self {
    case .tcp:
      let (client, server) = try await TcpStream.loopbackPair()
      return (dup(client.fd), dup(server.fd))
    case .unix: return try socketPair()
    case .pipe:
      let ends = try pipeEnds()
      return (ends.reading, ends.writing)
    case .pipeToWrite:
      let ends = try pipeEnds()
      return (ends.writing, ends.reading)
    case .unixDatagram:
      var fds: [Int32] = [-1, -1]
      try #require(unsafe culvert_socket_pair(culvert_sock_dgram(), &fds) == 0)
      return (fds[0], fds[1])
    case .udp:
      let fds = try (0..<2).map { _ in
        let fd = culvert_socket(AF_INET, culvert_sock_dgram())
        try Socket.bind(fd, to: .loopback(port: 0), during: "bind")
        return fd
      }
      _ = try Socket.connect(fds[1], to: Socket.localAddress(fds[0], during: "name"), during: "connect")
      return (fds[0], fds[1])
    case .terminal:
      var (master, line): (Int32, Int32) = (-1, -1)
      try #require(unsafe openpty(&master, &line, nil, nil, nil) == 0)
      return (line, master)
    }
  }

  /// Sends it in one piece.
  func send(_ fd: Int32, _ bytes: [UInt8]) -> Bool { unsafe write(fd, bytes, bytes.count) == bytes.count }
}

extension BridgedFd {
  /// Waits for the loop to report, and reads what there is, up to 3 bytes; then holds that for all there was, whatever
  /// may have come. Empty at the end of the stream.
  func waitAndRead() async throws(IoError) -> [UInt8] {
    registration.clearReadiness(.readable)
    let bytes = try await asyncCall(.readable) { (fd) throws(IoError) -> [UInt8]? in
      var bytes: [UInt8] = [0, 0, 0]
      let count = unsafe CCulvert.read(fd, &bytes, bytes.count)
      if count >= 0 { return Array(bytes[..<count]) }
      if culvert_errno() == EAGAIN { return nil }
      throw IoError(errno: culvert_errno(), during: "read")
    }
    registration.clearReadiness(.readable)
    return bytes
  }
}
