// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import Culvert

@Suite struct ReadinessStateTests {
  typealias State = ReadinessState<String>

  /// A state that has nothing cached, as after a would-block.
  private func drained() -> State {
    var state = State()
    state.clear([.readable, .writable])
    return state
  }

  private func park(_ state: inout State, _ name: String, _ interest: IoEventInterest, key: UInt) -> Bool? {
    guard case .parked(let update) = state.request(interest, key: key, waiter: name) else { return nil }
    return update
  }

  @Test func `a fresh source is worth a try in both directions`() {
    var state = State()
    #expect(state.ready == [.readable, .writable])
    guard case .ready(let now) = state.request(.readable, key: 1, waiter: "a") else {
      Issue.record("parked")
      return
    }
    #expect(now == .readable)
    #expect(state.wanted.isEmpty)
  }

  @Test func `the first to wait has the direction armed, the next one finds it so`() {
    var state = drained()
    #expect(park(&state, "a", .readable, key: 1) == true)
    #expect(park(&state, "b", .readable, key: 2) == false)
    #expect(park(&state, "c", .writable, key: 3) == true)
    #expect(state.wanted == [.readable, .writable])
  }

  @Test func `an event wakes all who wait for its direction, in the order they came, and nobody else`() {
    var state = drained()
    for (key, name) in ["a", "b", "c"].enumerated() { _ = park(&state, name, .readable, key: UInt(key)) }
    _ = park(&state, "w", .writable, key: 9)
    let (woken, update) = state.event(.readable, turn: 1, stopped: false)
    #expect(woken.all == ["a", "b", "c"])
    #expect(!update)
    #expect(state.waiting.map(\.key) == [9])
    #expect(state.ready == .readable)
  }

  @Test func `a nudge sends on who waits for its direction, and who comes next, and arms nothing`() {
    var state = drained()
    _ = park(&state, "a", .readable, key: 1)
    _ = park(&state, "w", .writable, key: 2)
    #expect(state.nudge(.readable).all == ["a"])
    #expect(state.waiting.map(\.key) == [2])
    #expect(park(&state, "a", .readable, key: 1) == nil)
    state.clear(.readable)
    // Armed it was before, and stays until an event finds nobody.
    #expect(park(&state, "a", .readable, key: 1) == false)
  }

  @Test func `a direction stays armed while its reader comes back`() {
    var state = drained()
    _ = park(&state, "a", .readable, key: 1)
    for turn in 1...5 {
      let (woken, update) = state.event(.readable, turn: UInt64(turn), stopped: false)
      #expect(woken.all == ["a"] && !update)
      state.clear(.readable)
      #expect(park(&state, "a", .readable, key: 1) == false)
    }
  }

  @Test func `an event that finds nobody disarms, in the next turn and not in the one that woke somebody`() {
    var state = drained()
    _ = park(&state, "a", .readable, key: 1)
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
    #expect(park(&state, "a", .readable, key: 1) == true)
  }

  @Test(arguments: [IoEventInterest.readable, .writable])
  func `clearing one direction leaves the other`(cleared: IoEventInterest) {
    var state = State()
    state.clear(cleared)
    #expect(state.ready == IoEventInterest([.readable, .writable]).subtracting(cleared))
  }

  @Test func `that the peer has finished is never taken back, and never armed again`() {
    var state = drained()
    #expect(park(&state, "p", .peerFinished, key: 1) == true)
    let (woken, update) = state.event(.peerFinished, turn: 1, stopped: false)
    #expect(woken.all == ["p"] && update)
    #expect(state.wanted.isEmpty)
    state.clear(.everything)
    guard case .ready = state.request(.peerFinished, key: 1, waiter: "p") else {
      Issue.record("asked to be armed again")
      return
    }
  }

  @Test func `a failure wakes everybody and leaves nothing armed`() {
    var state = drained()
    _ = park(&state, "r", .readable, key: 1)
    _ = park(&state, "w", .writable, key: 2)
    let (woken, update) = state.event(.everything, turn: 1, stopped: true)
    #expect(woken.all == ["r", "w"] && !update)
    #expect(state.wanted.isEmpty)
    state.clear(.everything)
    #expect(park(&state, "r", .readable, key: 1) == true)
  }

  @Test func `a cancelled waiter is given back once, and the others stay`() {
    var state = drained()
    for (key, name) in ["a", "b", "c"].enumerated() { _ = park(&state, name, .readable, key: UInt(key)) }
    #expect(state.cancel(key: 1) == "b")
    #expect(state.cancel(key: 1) == nil)
    #expect(state.cancel(key: 0) == "a")
    #expect(state.event(.readable, turn: 1, stopped: false).woken.all == ["c"])
  }

  @Test func `after the end everybody is sent away with the first reason`() {
    var state = drained()
    _ = park(&state, "a", .readable, key: 1)
    #expect(state.end(.closed).all == ["a"])
    #expect(state.end(.shutDown).all.isEmpty)
    guard case .ended(.closed) = state.request(.readable, key: 2, waiter: "b") else {
      Issue.record("not refused")
      return
    }
    #expect(state.wanted.isEmpty)
  }

  @Test func `a wait that could not be set up sends everybody away, and the next one is armed anew`() {
    var state = drained()
    _ = park(&state, "a", .readable, key: 1)
    #expect(state.dismiss().all == ["a"])
    #expect(park(&state, "b", .readable, key: 2) == true)
  }

  @Test func `the interests are libuv's own bits`() {
    #expect(IoEventInterest.readable.rawValue == UvPoll.readable)
    #expect(IoEventInterest.writable.rawValue == UvPoll.writable)
    #expect(IoEventInterest.peerFinished.rawValue == UvPoll.disconnect)
    #expect(IoEventInterest.priority.rawValue == UvPoll.prioritized)
  }
}
