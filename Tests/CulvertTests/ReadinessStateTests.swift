// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import Culvert

/// A waiter that is only a name.
struct NamedWaiter: Identifiable, Hashable, ExpressibleByStringLiteral {
  let id: String
  init(stringLiteral name: String) { id = name }
}

@Suite struct ReadinessStateTests {
  typealias State = ReadinessState<NamedWaiter>

  /// A state that has nothing cached, as after a would-block.
  private func drained() -> State {
    var state = State()
    state.clear([.readable, .writable])
    return state
  }

  private func park(_ state: inout State, _ waiter: NamedWaiter, _ interest: IoEventInterest) -> Bool? {
    guard case .parked(let update) = state.request(interest, waiter) else { return nil }
    return update
  }

  @Test func `a fresh source is worth a try in both directions`() {
    var state = State()
    #expect(state.ready == [.readable, .writable])
    guard case .ready(let now) = state.request(.readable, "a") else {
      Issue.record("parked")
      return
    }
    #expect(now == .readable)
    #expect(state.wanted.isEmpty)
  }

  @Test func `the first to wait has the direction armed, the next one finds it so`() {
    var state = drained()
    #expect(park(&state, "a", .readable) == true)
    #expect(park(&state, "b", .readable) == false)
    #expect(park(&state, "c", .writable) == true)
    #expect(state.wanted == [.readable, .writable])
  }

  @Test func `an event wakes all who wait for its direction, in the order they came, and nobody else`() {
    var state = drained()
    for name in ["a", "b", "c"] as [NamedWaiter] { _ = park(&state, name, .readable) }
    _ = park(&state, "w", .writable)
    let (woken, update) = state.event(.readable, turn: 1, stopped: false)
    #expect(woken.all == ["a", "b", "c"])
    #expect(!update)
    #expect(state.waiting.map(\.waiter) == ["w"])
    #expect(state.ready == .readable)
  }

  @Test func `a nudge sends on who waits for its direction, and who comes next, and arms nothing`() {
    var state = drained()
    _ = park(&state, "a", .readable)
    _ = park(&state, "w", .writable)
    #expect(state.nudge(.readable).all == ["a"])
    #expect(state.waiting.map(\.waiter) == ["w"])
    #expect(park(&state, "a", .readable) == nil)
    state.clear(.readable)
    // Armed it was before, and stays until an event finds nobody.
    #expect(park(&state, "a", .readable) == false)
  }

  @Test func `a direction stays armed while its reader comes back`() {
    var state = drained()
    _ = park(&state, "a", .readable)
    for turn in 1...5 {
      let (woken, update) = state.event(.readable, turn: UInt8(turn), stopped: false)
      #expect(woken.all == ["a"] && !update)
      state.clear(.readable)
      #expect(park(&state, "a", .readable) == false)
    }
  }

  @Test func `an event that finds nobody disarms, in the next turn and not in the one that woke somebody`() {
    var state = drained()
    _ = park(&state, "a", .readable)
    _ = state.event(.readable, turn: 1, stopped: false)
    let (_, repeated) = state.event(.readable, turn: 1, stopped: false)
    #expect(!repeated && state.wanted == .readable)
    let (_, next) = state.event(.readable, turn: 2, stopped: false)
    #expect(next && state.wanted.isEmpty)
  }

  @Test func `a would-block after an event still ends with the waiter armed`() {
    var state = drained()
    _ = state.event(.readable, turn: 1, stopped: false)  // between EAGAIN and clear
    state.clear(.readable)
    #expect(park(&state, "a", .readable) == true)
  }

  @Test(arguments: [IoEventInterest.readable, .writable])
  func `clearing one direction leaves the other`(cleared: IoEventInterest) {
    var state = State()
    state.clear(cleared)
    #expect(state.ready == IoEventInterest([.readable, .writable]).subtracting(cleared))
  }

  @Test func `that the peer has finished is never taken back, and never armed again`() {
    var state = drained()
    #expect(park(&state, "p", .peerFinished) == true)
    let (woken, update) = state.event(.peerFinished, turn: 1, stopped: false)
    #expect(woken.all == ["p"] && update)
    #expect(state.wanted.isEmpty)
    state.clear(.everything)
    guard case .ready = state.request(.peerFinished, "p") else {
      Issue.record("asked to be armed again")
      return
    }
  }

  @Test func `a failure wakes everybody and leaves nothing armed`() {
    var state = drained()
    _ = park(&state, "r", .readable)
    _ = park(&state, "w", .writable)
    let (woken, update) = state.event(.everything, turn: 1, stopped: true)
    #expect(woken.all == ["r", "w"] && !update)
    #expect(state.wanted.isEmpty)
    state.clear(.everything)
    #expect(park(&state, "r", .readable) == true)
  }

  @Test func `a cancelled waiter is given back once, and the others stay`() {
    var state = drained()
    for name in ["a", "b", "c"] as [NamedWaiter] { _ = park(&state, name, .readable) }
    #expect(state.cancel("b") == "b")
    #expect(state.cancel("b") == nil)
    #expect(state.cancel("a") == "a")
    #expect(state.event(.readable, turn: 1, stopped: false).woken.all == ["c"])
  }

  @Test func `after the end everybody is sent away with the first reason`() {
    var state = drained()
    _ = park(&state, "a", .readable)
    #expect(state.end(.closed).all == ["a"])
    #expect(state.end(.shutDown).all.isEmpty)
    guard case .ended(.closed) = state.request(.readable, "b") else {
      Issue.record("not refused")
      return
    }
    #expect(state.wanted.isEmpty)
  }

  @Test func `a wait that could not be set up sends everybody away, and the next one is armed anew`() {
    var state = drained()
    _ = park(&state, "a", .readable)
    #expect(state.dismiss().all == ["a"])
    #expect(park(&state, "b", .readable) == true)
  }

  @Test func `the interests are libuv's own bits`() {
    #expect(IoEventInterest.readable.rawValue == UvPoll.readable)
    #expect(IoEventInterest.writable.rawValue == UvPoll.writable)
    #expect(IoEventInterest.peerFinished.rawValue == UvPoll.disconnect)
    #expect(IoEventInterest.priority.rawValue == UvPoll.prioritized)
  }
}
