// SPDX-License-Identifier: Apache-2.0
// What ReadinessState keeps while something else happens: the order of its waiters, and what it knows otherwise.
import Testing

@testable import Culvert

@Suite struct ReadinessMemoryTests {
  private typealias State = ReadinessState<NamedWaiter>

  /// A state that has nothing cached, and these waiters.
  private func state(_ waiters: KeyValuePairs<NamedWaiter, IoEventInterest>) -> State {
    var state = State()
    state.clear(.everything)
    for (waiter, interest) in waiters { park(&state, waiter, interest) }
    return state
  }

  private func park(_ state: inout State, _ waiter: NamedWaiter, _ interest: IoEventInterest) {
    guard case .parked = state.request(interest, waiter) else {
      Issue.record("\(waiter.id) was not parked")
      return
    }
  }

  @Test func `whoever comes after a cancelled waiter is behind those who were there`() {
    var state = state(["a": .readable, "b": .readable])
    #expect(state.cancel("a") == "a")
    park(&state, "c", .readable)
    #expect(state.event(.readable, turn: 1, stopped: false).woken.all == ["b", "c"])
  }

  @Test func `whoever comes after an event is behind those whom it left parked`() {
    var state = state(["a": .readable, "b": .writable, "c": .writable])
    #expect(state.event(.readable, turn: 1, stopped: false).woken.all == ["a"])
    park(&state, "d", .writable)
    #expect(state.event(.writable, turn: 1, stopped: false).woken.all == ["b", "c", "d"])
  }

  @Test func `an event takes back nothing that is known of other directions`() {
    var state = state([:])
    _ = state.event(.peerFinished, turn: 1, stopped: false)
    _ = state.event(.readable, turn: 2, stopped: false)
    #expect(state.ready == [.readable, .peerFinished])
  }

  @Test func `whom the event of a stopped handle does not concern is armed anew`() {
    var state = state(["r": .readable, "w": .writable])
    let (woken, update) = state.event(.readable, turn: 1, stopped: true)
    #expect(woken.all == ["r"])
    #expect(update && state.wanted == .writable)
  }
}
