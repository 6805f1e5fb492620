// SPDX-License-Identifier: Apache-2.0
// What other threads leave for a loop's thread: messages under a mutex, and a doorbell that is rung under that same
// mutex, so that a ring can't meet a closed loop, and no message can be seen too late.

/// Messages to one thread. Safe from any thread, but for `take`.
final class Inbox<Message>: @unchecked Sendable {
  private let state = Locked(State())
  private let unparker: IoDriverUnparker
  /// The receiving thread's: an emptied array, to be filled again.
  private var spare: [Message] = []

  private struct State {
    var messages: [Message] = []
    var isClosed = false
    /// One ring for each time the box is emptied.
    var hasRung = false
  }

  /// An array that grew beyond this is not kept.
  private static var keptCapacity: Int { 4096 }

  init(_ unparker: IoDriverUnparker) {
    self.unparker = unparker
  }

  var isClosed: Bool { state.withLock { $0.isClosed } }
  /// How many messages have not been taken.
  var count: Int { state.withLock { $0.messages.count } }

  /// Leaves a message, unless the box is closed.
  func post(_ message: Message) -> Bool {
    state.withLock { state in
      if state.isClosed { return false }
      state.messages.append(message)
      ring(&state)
      return true
    }
  }

  /// Ends the receiver's poll, with no message.
  func ring() {
    state.withLock { state in
      if !state.isClosed { ring(&state) }
    }
  }

  private func ring(_ state: inout State) {
    if state.hasRung { return }
    state.hasRung = true
    unparker.unpark()
  }

  /// Gives each message that is there to `body`. Receiving thread only.
  func take(_ body: (Message) -> Void) {
    var messages = spare
    spare = []
    state.withLock { state in
      state.hasRung = false
      if !state.messages.isEmpty { swap(&state.messages, &messages) }
    }
    // Most turns bring none.
    if !messages.isEmpty {
      messages.forEach(body)
      messages.removeAll(keepingCapacity: messages.capacity <= Self.keptCapacity)
    }
    spare = messages
  }

  /// Refuses new messages from now on, and returns those that are there.
  func close() -> [Message] {
    state.withLock { state in
      state.isClosed = true
      defer { state.messages = [] }
      return state.messages
    }
  }
}
