// SPDX-License-Identifier: Apache-2.0
// The one place where all clients meet: it turns events into actions, and puts lines into outboxes. It never
// waits for a client. Shows how an actor lives on one of Culvert's workers.

public import ChatCore
public import Culvert

/// The chat and the outboxes of all who are in it.
public actor ChatHub {
  private let home: Worker
  private var rooms: ChatRooms
  private let publish: (@Sendable (ChatNews) -> Void)?
  private var outboxes: [ClientId: Outbox] = [:]
  private var clientsSoFar = 0

  /// A chat on that worker. With `publish` it is one of several, and that tells the others; it must not wait.
  public init(on home: Worker, maximumClients: Int, publish: (@Sendable (ChatNews) -> Void)? = nil) {
    self.home = home
    self.publish = publish
    rooms = ChatRooms(maximumClients: maximumClients, isClustered: publish != nil)
  }

  /// The actor's code runs on its worker's thread, beside the sockets of that worker.
  public nonisolated var unownedExecutor: UnownedSerialExecutor {
    unsafe home.serial.asUnownedSerialExecutor()
  }

  /// Takes a new client in, or turns it away: both by what is put in its outbox.
  public func connect(_ outbox: Outbox) -> ClientId {
    clientsSoFar += 1
    let client = ClientId(clientsSoFar)
    outboxes[client] = outbox
    handle(.connected(client))
    return client
  }

  /// Handles an event, and the events that follow from it: a line for a full outbox makes its owner fall
  /// behind, which is news for the owner's room.
  public func handle(_ event: ChatEvent) {
    var events = [event]
    while let event = events.popLast() {
      for action in rooms.handle(event) {
        switch action {
        case .send(let line, let client):
          if outboxes[client]?.offer(line) == false { events.append(.fellBehind(client)) }
        case .close(let client, let farewell):
          outboxes.removeValue(forKey: client)?.finish(saying: farewell)
        case .publish(let news): publish?(news)
        }
      }
    }
  }
}
