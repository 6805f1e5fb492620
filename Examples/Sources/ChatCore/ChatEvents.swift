// SPDX-License-Identifier: Apache-2.0
// What can happen to a chat, and what can follow from it: the two sides of ChatRooms.

/// One connection, for as long as the server runs: never given to another.
public struct ClientId: Sendable, Hashable, Comparable {
  private let number: Int

  /// The client with that number.
  public init(_ number: Int) { self.number = number }
  /// Clients are in the order in which they came.
  public static func < (one: ClientId, other: ClientId) -> Bool { one.number < other.number }
}

/// Something that happened.
public enum ChatEvent: Sendable {
  case connected(ClientId)
  /// The client typed a line; it comes without its newline.
  case line(String, from: ClientId)
  /// The client typed something that is not a line of text.
  case badLine(BadLine, from: ClientId)
  /// The client is gone: it hung up, or the connection failed.
  case disconnected(ClientId)
  /// More waits for the client than it may have waiting.
  case fellBehind(ClientId)
  /// The server was told to end.
  case goingDown
  /// Another server of the cluster tells what happened there.
  case news(ChatNews, from: ServerName)
  /// The other servers, or one of them, can be reached, or can't any more.
  case reach(ClusterReach)
}

/// Something to be done about it, in this order.
public enum ChatAction: Sendable, Equatable {
  case send(String, to: ClientId)
  /// Nothing more goes to this client than what waits for it already, and this last line.
  case close(ClientId, saying: String?)
  /// To be told to the other servers of the cluster.
  case publish(ChatNews)
}

/// Why something that was typed is no line.
public enum BadLine: Sendable {
  case tooLong
  case notUtf8

  /// What its author is told.
  public var complaint: String {
    switch self {
    case .tooLong: "! a line may have at most \(ChatLimits.line) bytes: yours was longer, and was not sent"
    case .notUtf8: "! a line has to be UTF-8 text: yours was not, and was not sent"
    }
  }
}

/// How much of what a chat takes.
public enum ChatLimits {
  /// The bytes of a typed line.
  public static let line = 4096
  /// The bytes of a line that the server sends: a typed one grows by a name, and by marks for what is not
  /// shown.
  public static let sentLine = 4 * line
  /// The bytes that may wait for a client that does not read.
  public static let outbox = 256 * 1024
  /// How many names a list shows.
  public static let listedNames = 50
}
