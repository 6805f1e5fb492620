// SPDX-License-Identifier: Apache-2.0
// What several suites need: connected sockets, counters, and a runtime whose worker can be looked into.
import CCulvert
import Testing

@testable import Culvert

/// Two connected Unix stream sockets, of which the test may hand one to a `BridgedFd`.
func socketPair() throws -> (Int32, Int32) {
  var fds: [Int32] = [-1, -1]
  try #require(unsafe culvert_socket_pair(culvert_sock_stream(), &fds) == 0)
  return (fds[0], fds[1])
}

/// How many descriptors this process may have: the soft limit, raised to the hard one.
let descriptorLimit: Int = {
  var limit = rlimit()
  guard unsafe getrlimit(.init(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 1024 }
  limit.rlim_cur = min(limit.rlim_max, 100_000)
  guard unsafe setrlimit(.init(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 1024 }
  return Int(limit.rlim_cur)
}()

/// How many descriptors this process has open. Only for tests that run in a process of their own.
func openDescriptorCount() -> Int {
  (0..<descriptorLimit).filter { culvert_is_open(Int32($0)) }.count
}

func writeByte(_ fd: Int32, _ byte: UInt8 = 1) -> Bool {
  let bytes = [byte]
  // Not through Syscalls: this is the peer, whom no fault script concerns.
  return unsafe bytes.withUnsafeBytes { unsafe send(fd, $0.baseAddress, 1, culvert_send_flags()) } == 1
}

/// Reads one byte, or `nil` if that would block; 256 is the end of the stream.
func readByte(_ fd: Int32) throws(IoError) -> Int? {
  var byte: UInt8 = 0
  let count = unsafe read(fd, &byte, 1)
  if count == 1 { return Int(byte) }
  if count == 0 { return 256 }
  if culvert_errno() == EAGAIN { return nil }
  throw IoError(errno: culvert_errno(), during: "read one byte")
}

/// Runs `body` on the only worker of a runtime of its own.
func onOneWorker<R: Sendable>(
  limits: Limits = Limits(), _ body: @escaping @concurrent @Sendable (Worker) async throws -> R
) async throws -> R {
  var configuration = Runtime.Configuration(workers: 1)
  configuration.limits = limits
  return try await withRuntime(configuration) { runtime in try await body(runtime.workers[0]) }
}

/// Lets the other ready tasks of the worker run, and the loop turn, `turns` times: for tests that say "nothing happens".
func turn(_ worker: Worker, _ turns: Int = 3) async {
  let target = worker.driver.turn + UInt64(turns)
  while worker.driver.turn < target { await Task.yield() }
}

/// A number that tasks on any thread count up.
final class SharedCount: Sendable {
  private let state = Locked(0)
  var value: Int { state.withLock { $0 } }
  @discardableResult
  func add(_ amount: Int = 1) -> Int {
    state.withLock {
      $0 += amount; return $0
    }
  }
}

/// The code that `body` fails with, or `nil`.
func failure<R>(_ body: () async throws -> R) async -> IoError.Code? {
  do {
    _ = try await body()
    return nil
  } catch {
    return (error as? IoError)?.code
  }
}

/// Whether system calls fail at random in this run (`make chaos`).
let isChaotic = unsafe getenv("CULVERT_CHAOS_SEED") != nil

/// Why a test that counts on a single try is left out then.
let aTryMayBlock: Comment = "a single try may be told that it would block"
