// SPDX-License-Identifier: Apache-2.0
// ReadinessState under every interleaving of tasks, a level-triggered loop and the world, up to a depth.
import Testing

@testable import Culvert

/// Tasks that wait, a loop that reports what is armed and true, and a world that makes things true.
private struct Model: Hashable {
  enum Step: Hashable {
    case trying, clearing, requesting, parked, gone
  }
  struct Actor: Hashable {
    let interest: IoEventInterest
    var step = Step.trying
  }

  struct Waiter: Identifiable, Hashable { let id: Int }

  var state = ReadinessState<Waiter>()
  var tasks: [Actor]
  /// What the loop watches for.
  var armed: IoEventInterest = []
  /// What would not block.
  var truth: IoEventInterest = []
  var turn: UInt8 = 1
  /// Somebody has asked the loop to arm what is wanted, and it has not yet done so.
  var isQueued = false
  var hasEnded = false

  enum Action: Hashable {
    case step(Int), cancel(Int), arrive(IoEventInterest), settle, report, fail, nextTurn, end
  }

  func actions(turns: UInt8) -> [Action] {
    var all: [Action] = []
    for (index, task) in tasks.enumerated() {
      if ![.parked, .gone].contains(task.step) { all.append(.step(index)) }
      if task.step == .parked { all.append(.cancel(index)) }
    }
    for direction in [IoEventInterest.readable, .writable, .peerFinished] where !truth.contains(direction) {
      all.append(.arrive(direction))
    }
    if isQueued { all.append(.settle) }
    if !armed.isDisjoint(with: truth) { all.append(.report) }
    if !armed.isEmpty { all.append(.fail) }
    if turn < turns { all.append(.nextTurn) }
    if !hasEnded { all.append(.end) }
    return all
  }

  /// Carries out an action; returns what went wrong.
  mutating func perform(_ action: Action) -> String? {
    switch action {
    case .step(let index): return step(index)
    case .cancel(let index): return cancel(index)
    case .arrive(let direction): truth.formUnion(direction)
    case .settle: settle()
    case .report: return report(armed.intersection(truth), stopped: false)
    case .fail:
      armed = []
      return report(.everything, stopped: true)
    case .nextTurn: turn += 1
    case .end:
      hasEnded = true
      armed = []
      isQueued = false
      return wake(state.end(.closed).all, to: .gone)
    }
    return nil
  }

  private mutating func step(_ index: Int) -> String? {
    let interest = tasks[index].interest
    switch tasks[index].step {
    case .trying:
      let there = truth.intersection(interest)
      if there.isEmpty {
        tasks[index].step = .clearing
      } else {
        truth.subtract(there.subtracting(.peerFinished))  // took it
        tasks[index].step = .trying
      }
    case .clearing:
      state.clear(interest)
      tasks[index].step = .requesting
    case .requesting:
      switch state.request(interest, Waiter(id: index)) {
      case .ready: tasks[index].step = .trying
      case .parked(let update):
        tasks[index].step = .parked
        isQueued = isQueued || update
      case .ended: tasks[index].step = .gone
      }
    case .parked, .gone: return "step of a task that can't"
    }
    return nil
  }

  private mutating func cancel(_ index: Int) -> String? {
    guard state.cancel(index)?.id == index else { return "cancel did not find its waiter" }
    tasks[index].step = .gone
    return nil
  }

  private mutating func report(_ events: IoEventInterest, stopped: Bool) -> String? {
    let waited = state.waiting.reduce(into: IoEventInterest()) { $0.formUnion($1.interest) }
    let before = state
    let (woken, update) = state.event(events, turn: turn, stopped: stopped)
    if update { settle() }
    var fresh = before
    let (_, _) = fresh.event(events, turn: turn + 100, stopped: stopped)
    let idle = events.subtracting(waited)
    if !fresh.wanted.isDisjoint(with: idle) { return "armed without a waiter after an event of a new turn" }
    let expected = before.waiting.filter { !$0.interest.isDisjoint(with: events) }.map(\.waiter)
    if woken.all != expected { return "woke \(woken.all), not \(expected)" }
    return wake(woken.all, to: .trying)
  }

  private mutating func wake(_ woken: [Waiter], to step: Step) -> String? {
    for index in woken.map(\.id) {
      guard tasks[index].step == .parked else { return "woke \(index) twice" }
      tasks[index].step = step
    }
    return nil
  }

  private mutating func settle() {
    armed = state.wanted
    isQueued = false
  }

  /// What must hold in every state; returns what does not.
  func violation() -> String? {
    let parked = tasks.indices.filter { tasks[$0].step == .parked }
    if Set(state.waiting.map(\.waiter.id)) != Set(parked) { return "a parked task was lost" }
    if hasEnded { return parked.isEmpty ? nil : "parked after the end" }
    if parked.contains(where: { !state.wanted.isSuperset(of: tasks[$0].interest) }) {
      return "parked for what nobody wants"
    }
    // A level-triggered loop reports whatever is armed and true: so nobody parked can be forgotten.
    if !isQueued, armed != state.wanted { return "armed \(armed), wanted \(state.wanted)" }
    return nil
  }
}

@Suite struct ReadinessModelTests {
  struct Scenario: Sendable {
    let tasks: [IoEventInterest]
    let depth: Int
  }

  private static let both: IoEventInterest = [.readable, .writable]
  static let scenarios: [Scenario] = [
    Scenario(tasks: [.readable, .readable], depth: 40),
    Scenario(tasks: [.readable, .writable], depth: 40),
    Scenario(tasks: [both, .peerFinished], depth: 40),
    Scenario(tasks: [.readable, .readable, .writable], depth: 11),
    Scenario(tasks: [.readable, both, .peerFinished], depth: 11),
  ]

  @Test(
    .disabled(
      if: isSanitized, "nothing for a sanitizer to find in one thread's values, and it would take minutes"),
    arguments: scenarios)
  func `no interleaving loses a waiter, wakes one twice, or leaves armed what nobody waits for`(
    _ scenario: Scenario
  ) async throws {
    let (problem, states) = try await onThreadOfItsOwn { Self.explore(scenario) }
    #expect(problem == nil)
    #expect(states > 1_000)
  }

  /// The first thing that is wrong in any state, and how many states there are.
  private static func explore(_ scenario: Scenario) -> (problem: String?, states: Int) {
    let (tasks, depth) = (scenario.tasks, scenario.depth)
    var frontier = [Model(tasks: tasks.map { Model.Actor(interest: $0) })]
    var seen = Set(frontier)
    var transitions = 0
    for _ in 0..<depth {
      var next: [Model] = []
      for model in frontier {
        for action in model.actions(turns: 3) {
          var after = model
          transitions += 1
          if let problem = after.perform(action) ?? after.violation() {
            return ("\(problem), after \(action) in \(model)", seen.count)
          }
          if seen.insert(after).inserted { next.append(after) }
        }
      }
      if next.isEmpty { break }
      frontier = next
    }
    print("readiness model: \(tasks): \(seen.count) states, \(transitions) transitions")
    return (nil, seen.count)
  }
}
