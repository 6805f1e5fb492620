// SPDX-License-Identifier: Apache-2.0
// Everything that can be polled, through BridgedFd: pipes, FIFOs, counters, timers, folders, terminals.
import CCulvert
import CulvertTesting
import Foundation
import Testing

@testable import Culvert

extension BridgedFd {
  /// Reads what there is, up to `limit` bytes; empty at the end.
  fileprivate func read(upTo limit: Int) async throws(IoError) -> [UInt8] {
    try await asyncCall(.readable) { (fd) throws(IoError) -> [UInt8]? in
      var bytes = [UInt8](repeating: 0, count: limit)
      let count = unsafe CCulvert.read(fd, &bytes, limit)
      if count >= 0 { return Array(bytes[..<count]) }
      if culvert_errno() == EAGAIN { return nil }
      throw IoError(errno: culvert_errno(), during: "read")
    }
  }

  /// Writes some of it.
  fileprivate func write(_ bytes: [UInt8]) async throws(IoError) -> Int {
    try await asyncCall(.writable) { (fd) throws(IoError) -> Int? in
      let count = unsafe CCulvert.write(fd, bytes, bytes.count)
      if count >= 0 { return count }
      if culvert_errno() == EAGAIN { return nil }
      throw IoError(errno: culvert_errno(), during: "write")
    }
  }

  /// Reads a number of the kernel's.
  fileprivate func readNumber() async throws(IoError) -> UInt64 {
    let bytes = try await read(upTo: 8)
    return unsafe bytes.withUnsafeBytes { unsafe $0.loadUnaligned(as: UInt64.self) }
  }
}

/// What `write` adds to an eventfd.
private func bytes(_ number: UInt64) -> [UInt8] { unsafe withUnsafeBytes(of: number) { unsafe Array($0) } }

@Suite(.timeLimit(watchdog)) struct AnyFdTests {
  @Test func `a pipe's reader waits for bytes, and for the end that only a hang-up tells`() async throws {
    try await onOneWorker { worker in
      let (reading, writing) = try pipeEnds()
      let reader = try BridgedFd(adopting: reading)
      async let first = reader.read(upTo: 9)
      await worker.idle()
      #expect(unsafe write(writing, "abc", 3) == 3)
      #expect(try await first == Array("abc".utf8))
      async let last = reader.read(upTo: 9)
      await worker.idle()
      close(writing)
      #expect(try await last == [])
      #expect(try await turnsWhileIdle(worker) < aFewTurns)
    }
  }

  @Test func `a pipe's writer waits while it is full, and gets a broken pipe when the reader goes`() async {
    // A process of its own, for write(2) on a pipe has no flag that keeps SIGPIPE away.
    await #expect(processExitsWith: .success) {
      setWatchdog()
      signal(SIGPIPE, SIG_IGN)
      try await onOneWorker { worker in
        let (reading, writing) = try pipeEnds()
        let writer = try BridgedFd(adopting: writing)
        async let sent = {
          let chunk = [UInt8](repeating: 1, count: 4096)
          var count = 0
          do throws(IoError) {
            while true { count += try await writer.write(chunk) }
          } catch {
            return (count, error.code)
          }
        }()
        await worker.idle()
        var some = [UInt8](repeating: 0, count: 65_536)
        let taken = unsafe read(reading, &some, some.count)
        #expect(taken > 0)
        await worker.idle()
        close(reading)
        let (count, code) = await sent
        #expect(count > taken && code == .brokenPipe)
      }
    }
  }

  @Test func `a FIFO without a writer is at its end, and waits once there was one`() async throws {
    try await onOneWorker { worker in
      let path = freshPath()
      try #require(unsafe mkfifo(path, 0o600) == 0)
      defer { unsafe unlink(path) }
      let reader = try BridgedFd(adopting: unsafe culvert_open_read(path, true))
      #expect(try await reader.read(upTo: 9) == [])
      for round in 0..<3 as Range<UInt8> {
        let writer = try #require(FileHandle(forWritingAtPath: path))
        async let bytes = reader.read(upTo: 9)
        await worker.idle()
        try writer.write(contentsOf: [round])
        #expect(try await bytes == [round])
        async let end = reader.read(upTo: 9)
        await worker.idle()
        try writer.close()
        #expect(try await end == [])
      }
    }
  }

  @Test func `a terminal echoes line by line, and a hang-up is its end`() async throws {
    try await onOneWorker { worker in
      var (master, line): (Int32, Int32) = (-1, -1)
      try #require(unsafe openpty(&master, &line, nil, nil, nil) == 0)
      let (screen, program) = (try BridgedFd(adopting: master), try BridgedFd(adopting: line))
      async let typed = program.read(upTo: 99)
      await worker.idle()
      #expect(try await screen.write(Array("ab".utf8)) == 2)
      await worker.idle()  // no line yet
      #expect(try await screen.write(Array("c\n".utf8)) == 2)
      #expect(try await typed == Array("abc\n".utf8))
      var echo: [UInt8] = []
      while echo.count < 5 { echo += try await screen.read(upTo: 99) }
      #expect(echo == Array("abc\r\n".utf8))
      async let end = thrown { try await screen.read(upTo: 99) }
      await worker.idle()
      await program.closed()
      let error = await end
      #if os(Linux)
        #expect(error?.errno == EIO)
      #endif
    }
  }

  @Test func `what somebody else closes while it is borrowed goes on`() async throws {
    try await onOneWorker { worker in
      for closesFirst in [true, false] {
        let (mine, theirs) = try socketPair()
        defer { close(theirs) }
        let bridge = try BridgedFd(borrowing: mine)
        async let byte = bridge.asyncCall(.readable, readByte)
        // Before the loop has heard of it, or after.
        if closesFirst { close(mine) }
        await worker.idle()
        if !closesFirst { close(mine) }
        let other = dup(theirs)  // most likely under the number that is free now
        #expect(writeByte(theirs, 7))
        #expect(try await byte == 7)
        close(other)
      }
    }
  }

  @Test func `a number has one registration at a time, and another one after it is released`() async throws {
    let (mine, theirs) = try socketPair()
    defer { close(theirs) }
    let bridge = try BridgedFd(adopting: mine)
    #expect(await failure { try BridgedFd(adopting: mine) } == .alreadyRegistered)
    let again = try BridgedFd(adopting: try await bridge.releaseFd())
    #expect(again.fd == mine && writeByte(theirs, 3))
    #expect(try await again.asyncCall(.readable, readByte) == 3)
    #expect(await failure { _ = try await bridge.releaseFd() } == .closed)
  }

  #if os(Linux)
    @Test func `an eventfd adds up, or counts down as a semaphore, and its waiters share it out`()
      async throws
    {
      let eventfd = try cFunction("eventfd", as: (@convention(c) (UInt32, Int32) -> Int32).self)
      try await onOneWorker { worker in
        let counter = try BridgedFd(adopting: eventfd(0, 0))
        async let sum = counter.readNumber()
        await worker.idle()
        #expect(try await counter.write(bytes(5)) == 8)
        #expect(try await sum == 5)
        let semaphore = try BridgedFd(adopting: eventfd(0, 1))  // EFD_SEMAPHORE
        let passed = Tally()
        try await withThrowingTaskGroup { group in
          for _ in 0..<5 {
            group.addTask {
              let number = try await semaphore.readNumber()
              #expect(number == 1)
              passed.add()
            }
          }
          await worker.idle()
          #expect(try await semaphore.write(bytes(2)) == 8)
          try await passed.reached(2)
          await worker.idle()
          #expect(passed.value == 2)
          #expect(try await semaphore.write(bytes(3)) == 8)
          try await group.waitForAll()
        }
        // Full: a write waits for a read.
        #expect(try await counter.write(bytes(UInt64.max - 1)) == 8)
        async let late = counter.write(bytes(1))
        await worker.idle()
        #expect(try await counter.readNumber() == UInt64.max - 1)
        #expect(try await late == 8)
      }
    }

    @Test func `a timerfd tells how often it has run out`() async throws {
      let create = try cFunction("timerfd_create", as: (@convention(c) (Int32, Int32) -> Int32).self)
      typealias Set = @convention(c) (Int32, Int32, UnsafeRawPointer, UnsafeRawPointer?) -> Int32
      let set = try unsafe cFunction("timerfd_settime", as: Set.self)
      let bridge = try BridgedFd(adopting: create(CLOCK_MONOTONIC, 0))
      let step = timespec(tv_sec: 0, tv_nsec: 1_000_000)
      var time = itimerspec(it_interval: step, it_value: step)
      let start = ContinuousClock.now
      try #require(unsafe set(bridge.fd, 0, &time, nil) == 0)
      var count: UInt64 = 0
      while count < 20 { count += try await bridge.readNumber() }
      #expect(start.duration(to: .now) >= .milliseconds(count))
      time = itimerspec()
      try #require(unsafe set(bridge.fd, 0, &time, nil) == 0)
    }

    @Test func `inotify tells of a file as it is made`() async throws {
      try await onOneWorker { worker in
        let folder = freshPath()
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let bridge = try BridgedFd(adopting: inotify_init1(0))
        try #require(unsafe inotify_add_watch(bridge.fd, folder, UInt32(IN_CREATE)) > 0)
        async let event = bridge.read(upTo: 4096)
        await worker.idle()
        #expect(unsafe mkfifo(folder + "/new", 0o600) == 0)
        let bytes = try await event
        #expect(bytes.count > 16 && bytes[16...].prefix { $0 != 0 } == ArraySlice("new".utf8))
      }
    }
  #endif
}
