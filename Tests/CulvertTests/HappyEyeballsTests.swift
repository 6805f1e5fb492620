// SPDX-License-Identifier: Apache-2.0
// The decisions of Happy Eyeballs, in every order in which their events can come.
import Testing

@testable import Culvert

@Suite struct HappyEyeballsTests {
  /// One run so far: the decisions, and what a driver would know beside them.
  private struct Run: Hashable {
    var log: [String] = []
    var running: Set<Int> = []
    var started = 0
    var hasConnection = false
    var isStopped = false
    /// Staggers that have not passed.
    var staggers: Set<Int> = []
  }

  /// All runs with so many addresses, each event in every order; `check` sees each action with the run before it.
  private func explore(count: Int, check: (Run, _ event: String, HappyEyeballs.Action) -> Void) -> Int {
    var ends = 0
    func go(_ decisions: HappyEyeballs, _ run: Run) {
      var isEnd = true
      func follow(_ event: String, _ change: (inout HappyEyeballs, inout Run) -> HappyEyeballs.Action) {
        var (next, after) = (decisions, run)
        let action = change(&next, &after)
        check(after, event, action)
        after.log.append("\(event): \(action)")
        if case .start(let number) = action {
          after.running.insert(number)
          after.started += 1
          if next.hasMore { after.staggers.insert(number) }
        }
        if action == .use { after.hasConnection = true }
        isEnd = false
        go(next, after)
      }
      for attempt in run.running {
        follow("\(attempt) fails") { decisions, run in
          run.running.remove(attempt)
          return decisions.attemptFailed()
        }
        follow("\(attempt) succeeds") { decisions, run in
          run.running.remove(attempt)
          return decisions.attemptSucceeded()
        }
      }
      for attempt in run.staggers {
        follow("stagger of \(attempt)") { decisions, run in
          run.staggers.remove(attempt)
          return decisions.staggerPassed(after: attempt)
        }
      }
      if !run.isStopped && !run.running.isEmpty {
        follow("stop") { decisions, run in
          run.isStopped = true
          decisions.stop()
          return .wait
        }
      }
      if isEnd { ends += 1 }
    }
    var decisions = HappyEyeballs(count: count)
    let first = decisions.begin()
    check(Run(), "begin", first)
    var run = Run()
    if case .start(0) = first { (run.running, run.started) = ([0], 1) }
    if decisions.hasMore { run.staggers = [0] }
    if first != .giveUp { go(decisions, run) }
    return ends
  }

  @Test func `without an address there is nothing to try`() {
    var decisions = HappyEyeballs(count: 0)
    #expect(decisions.begin() == .giveUp && !decisions.hasMore)
  }

  @Test(arguments: [(1, 4), (2, 39), (3, 594), (4, 13_733)])
  func `in every order addresses are tried in turn, the first connection is used, and no other`(
    count: Int, runs: Int
  ) {
    let ends = explore(count: count) { run, event, action in
      let isWanted = !run.hasConnection && !run.isStopped
      let isLast = run.started == count
      switch action {
      case .start(let number): #expect(number == run.started && !isLast && isWanted, "\(run.log) \(event)")
      case .use: #expect(event.hasSuffix("succeeds") && isWanted, "\(run.log) \(event)")
      case .discard: #expect(event.hasSuffix("succeeds") && !isWanted, "\(run.log) \(event)")
      case .giveUp: #expect(isLast && run.running.isEmpty && isWanted, "\(run.log) \(event)")
      case .wait:
        // A failure starts the next one at once, and so does the stagger of the last one that began.
        let mustStart = event.hasSuffix("fails") || event == "stagger of \(run.started - 1)"
        #expect(!isWanted || !mustStart || isLast, "\(run.log) \(event)")
        #expect(!isWanted || !event.hasSuffix("fails") || !run.running.isEmpty, "\(run.log) \(event)")
        #expect(!event.hasSuffix("succeeds"), "\(run.log) \(event)")
      }
    }
    #expect(ends == runs)
  }

  @Test func `the stagger of an attempt that has failed starts nothing`() {
    var decisions = HappyEyeballs(count: 4)
    #expect(decisions.begin() == .start(0))
    #expect(decisions.attemptFailed() == .start(1))
    #expect(decisions.staggerPassed(after: 0) == .wait)
    #expect(decisions.staggerPassed(after: 1) == .start(2))
    #expect(decisions.staggerPassed(after: 1) == .wait)
    #expect(decisions.hasMore)
  }

  @Test func `no more attempts are under way than the limit says, and a failure makes room`() {
    let most = HappyEyeballs.mostAtOnce
    var decisions = HappyEyeballs(count: most + 2)
    #expect(decisions.begin() == .start(0))
    for number in 1..<most { #expect(decisions.staggerPassed(after: number - 1) == .start(number)) }
    #expect(decisions.staggerPassed(after: most - 1) == .wait && decisions.hasMore)
    #expect(decisions.attemptFailed() == .start(most))
    #expect(decisions.attemptFailed() == .start(most + 1))
    #expect(!decisions.hasMore)
    for _ in 1..<most { #expect(decisions.attemptFailed() == .wait) }
    #expect(decisions.attemptFailed() == .giveUp)
  }

  @Test func `the families take turns, beginning with that of the first address`() throws {
    let v4 = (1...4).map { SocketAddress.ipv4(127, 0, 0, $0, port: 1) }
    let v6 = try (1...4).map { try SocketAddress("[::\($0)]:1") }
    func interleave(_ addresses: [SocketAddress]) -> [SocketAddress] { HappyEyeballs.interleave(addresses) }
    #expect(interleave([]) == [])
    #expect(interleave(v4) == v4)
    #expect(interleave(v4 + v6[..<1]) == [v4[0], v6[0], v4[1], v4[2], v4[3]])
    #expect(interleave(v6 + v4) == [v6[0], v4[0], v6[1], v4[1], v6[2], v4[2], v6[3], v4[3]])
    #expect(interleave(v4[..<1] + v6) == [v4[0], v6[0], v6[1], v6[2], v6[3]])
  }
}
