// SPDX-License-Identifier: Apache-2.0
// Measures timers against CLOCK_MONOTONIC: how late sleeps end on an idle worker and all at once, whether one is early, and
// what memory is left when very many have been cancelled or have ended.
// Run it with `swift run -c release timers`; the bounds are in DECISIONS.md.

import ArgumentParser
import Culvert
import CulvertTesting
import Foundation

@main
struct Timers: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Measures how late timers are, and what they leave.")

  @Option(help: "How many sleeps, one after the other on an idle worker.")
  var sleeps = 400

  @Option(help: "How many sleeps of up to 50 ms at once, on two workers.")
  var atOnce = 1_000

  @Option(help: "How many to have pending at once, on two workers, for the memory.")
  var pending = 1_000_000

  @Option(help: "After how many seconds the first of those ends.")
  var lead = 15

  func run() throws {
    let settings = self
    try Runtime.blockOn(workers: 2) { runtime in
      var idle: [Int] = []
      for _ in 0..<settings.sleeps { idle.append(try await Self.lateness()) }
      Self.report("idle, one at a time", idle)
      let crowd = (0..<settings.atOnce).map { _ in runtime.spawn { try await Self.lateness() } }
      var all: [Int] = []
      for task in crowd { all.append(try await task.value) }
      Self.report("all at once", all)
      // What the first tasks of a process take is no timer's.
      _ = try await Self.comeAndGo(min(settings.pending, 10_000), .seconds(1), runtime)
      let before = Memory.resident(trimmed: true)
      let most = try await Self.comeAndGo(settings.pending, .seconds(settings.lead), runtime)
      let after = Memory.resident(trimmed: true)
      print("memory: \(before >> 10) kB before, \(most >> 10) kB with all of them, \(after >> 10) kB after")
    }
  }

  /// Sleeps for a random time, and returns how many nanoseconds too long.
  private static func lateness() async throws -> Int {
    let duration = Int.random(in: 0...50_000_000)
    let begun = nanoseconds()
    try await sleep(for: .nanoseconds(duration))
    return nanoseconds() - begun - duration
  }

  private static func report(_ title: String, _ lateness: [Int]) {
    guard !lateness.isEmpty else { return }
    let sorted = lateness.sorted()
    func microseconds(_ percent: Int) -> Int { sorted[(sorted.count - 1) * percent / 100] / 1_000 }
    let early = sorted.count { $0 < 0 }
    print(
      "\(title): \(sorted.count) sleeps, \(early) early; late by \(microseconds(50)) us (median),",
      "\(microseconds(99)) (99 %), \(microseconds(100)) (the latest)")
  }

  /// Has that many sleeps wait at once; half of them are cancelled, in no order, and the others end. Returns the memory that
  /// was in use while all were there.
  private static func comeAndGo(_ count: Int, _ lead: Duration, _ runtime: Runtime) async throws -> Int {
    let due = ContinuousClock.now + lead
    let ended = Tally()
    var tasks = (0..<count).map { _ in
      let deadline = due + .microseconds(Int.random(in: 0...1_000_000))
      return runtime.spawn {
        defer { ended.add() }
        try await sleep(until: deadline)
      }
    }
    for worker in runtime.workers { await worker.idle() }
    let (most, pending) = (Memory.resident(trimmed: false), count - ended.value)
    tasks.shuffle()
    for task in tasks.prefix(count / 2) { task.cancel() }
    var cancelled = 0
    for task in tasks {
      do { try await task.value } catch { cancelled += 1 }
    }
    print("\(pending) pending at once: \(count - cancelled) ended, \(cancelled) cancelled")
    return most
  }

  private static func nanoseconds() -> Int {
    var now = timespec()
    _ = unsafe clock_gettime(CLOCK_MONOTONIC, &now)
    return now.tv_sec * 1_000_000_000 + now.tv_nsec
  }
}

/// What this process has of the machine's memory (Linux; elsewhere 0).
private enum Memory {
  /// In bytes. Trimmed: without what malloc keeps for later.
  static func resident(trimmed: Bool) -> Int {
    typealias Trim = @convention(c) (Int) -> Int32
    if trimmed, let trim = unsafe dlsym(nil, "malloc_trim") {
      _ = unsafe unsafeBitCast(trim, to: Trim.self)(0)
    }
    let pages = (try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8))?.split(separator: " ")
    return (pages.flatMap { Int($0[1]) } ?? 0) * Int(getpagesize())
  }
}
