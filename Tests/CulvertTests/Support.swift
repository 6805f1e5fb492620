// SPDX-License-Identifier: Apache-2.0
// What several suites need: connected sockets, counters, and a runtime whose worker can be looked into.
import CCulvert
import Synchronization
import Foundation
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

/// Gives what `fd` refers to a number that nobody else is given while the test looks at it, the `index`th from the end,
/// in place of its own. (A low one is taken again as soon as it is free: by another test, or by dispatch, which opens
/// timers and files of /proc on a thread of its own, at any time.)
func raise(_ fd: Int32, to index: Int) throws -> Int32 {
  defer { close(fd) }
  let number = dup2(fd, Int32(descriptorLimit - index))
  try #require(number == descriptorLimit - index)
  return number
}

/// How many descriptors this process has open, without those that dispatch opens at any time. Only for tests that run in
/// a process of their own.
func openDescriptorCount() -> Int {
  dispatchTimers
  return (0..<descriptorLimit).filter { culvert_is_open(Int32($0)) && !isDispatchs($0) }.count
}

/// What dispatch waits for its timers with is open from here on.
private let dispatchTimers: Void = {
  let (fired, timer) = (DispatchSemaphore(value: 0), DispatchSource.makeTimerSource())
  timer.setEventHandler { fired.signal() }
  timer.schedule(deadline: .now() + .milliseconds(1))
  timer.activate()
  fired.wait()
  timer.cancel()
}()

private func isDispatchs(_ number: Int) -> Bool {
  #if os(Linux)
    let target = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/fd/\(number)")
    // One that is closed by now was not ours, either: ours are counted while nothing of ours goes on.
    return target.map { $0 == "anon_inode:[timerfd]" || $0.hasPrefix("/proc/") } ?? true
  #else
    false
  #endif
}

func writeByte(_ fd: Int32, _ byte: UInt8 = 1) -> Bool {
  let bytes = [byte]
  // Not through Syscalls: this is the peer, whom no fault script concerns.
  return unsafe bytes.withUnsafeBytes { unsafe send(fd, $0.baseAddress, 1, culvert_send_flags()) } == 1
}

/// A port that nobody has or is given, another one each time: below those that systems choose from. (One that was bound
/// and closed may not be free yet: a process that another test starts has our descriptors until it executes its program.)
func unusedPort() -> UInt16 {
  UInt16(12_000 + nextPort.wrappingAdd(1, ordering: .relaxed).oldValue % 20_000)
}

/// Other test processes begin elsewhere.
private let nextPort = Atomic(Int(getpid()) * 389)

/// Makes the file of a Unix socket that is there no more.
func leaveSocketFile(at path: String, type: Int32) throws {
  let address = try SocketAddress.unix(path: path)
  let socket = culvert_socket(AF_UNIX, type)
  try Socket.bind(socket, to: address, during: "leave a socket's file")
  close(socket)
  // A process that another test starts may have it, too, until it executes its program.
  let probe = culvert_socket(AF_UNIX, type)
  defer { close(probe) }
  while try unsafe address.withSockaddr({ unsafe connect(probe, $0, $1) }) == 0 { sched_yield() }
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

/// Runs what takes long or blocks its thread, without holding one of the few that all other tests need, and maybe this one, too.
/// What `body` expects it must return: an issue of that thread is not known to be this test's.
func onThreadOfItsOwn<R: Sendable>(_ body: @escaping @Sendable () throws -> R) async throws -> R {
  try await withCheckedThrowingContinuation { continuation in
    do {
      try Thread.start(ThreadConfiguration(), name: "test") {
        continuation.resume(with: Result(catching: body))
      }
    } catch {
      continuation.resume(throwing: error)
    }
  }
}

/// 0, 1, … 250, 0, … made quickly in a debug build, too: there each step of a `map` over a range takes a lock of the Swift
/// runtime, for which it queues up behind all other threads.
func countingBytes(_ count: Int) -> [UInt8] {
  let block = (0..<251).map { UInt8($0) }
  var bytes: [UInt8] = []
  bytes.reserveCapacity(count)
  while bytes.count < count { bytes.append(contentsOf: block.prefix(count - bytes.count)) }
  return bytes
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

/// How often a test tries: as often as CI has time for, or, with CULVERT_STRESS in the environment, the figure that
/// settles it.
func rounds(ci: Int, stress: Int) -> Int { unsafe getenv("CULVERT_STRESS") == nil ? ci : stress }

/// How long a test may take at most. Nothing takes that long unless something hangs.
let watchdog: TimeLimitTrait.Duration = .minutes(rounds(ci: isSanitized ? 15 : 5, stress: 120))

/// The same for a process of a test: the system ends it after that time.
func setWatchdog() { alarm(UInt32(rounds(ci: 2, stress: 120) * 60)) }

/// A function of the C library that Swift does not import.
func cFunction<Function>(_ name: String, as type: Function.Type) throws -> Function {
  let address = unsafe dlsym(nil, name)
  return unsafe unsafeBitCast(try unsafe #require(address), to: type)
}
