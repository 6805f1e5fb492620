// SPDX-License-Identifier: Apache-2.0
// What the servers of a cluster tell each other, and how it is written: a line whose fields are separated by tabs. Names have no
// white space, and text no control characters. What was not written by this is refused.

/// What a server is called by the others.
public typealias ServerName = ChatName

/// Something that happened at a server.
public enum ChatNews: Sendable, Equatable {
  case said(String, by: ChatName, room: ChatName)
  case whispered(String, by: ChatName, to: ChatName)
  case joined(ChatName, room: ChatName)
  case left(ChatName, room: ChatName, how: String)
  /// The server is new, or has missed something: the others say who is at theirs.
  case hello
  /// Somebody who has been there before.
  case present(ChatName, room: ChatName)
  /// Nothing, but it is still there.
  case alive
  /// The server goes down, and everybody there is gone.
  case goodbye
}

/// Whom this server can reach.
public enum ClusterReach: Sendable, Equatable {
  case all
  /// What carries the news is gone.
  case none
  /// That server was silent for too long.
  case lost(ServerName)
}

extension ChatNews {
  /// The news as a line.
  public func line(from server: ServerName) -> String {
    let fields: [String] =
      switch self {
      case .said(let text, let name, let room): ["said", name.spelling, room.spelling, text]
      case .whispered(let text, let name, let other): ["whispered", name.spelling, other.spelling, text]
      case .joined(let name, let room): ["joined", name.spelling, room.spelling]
      case .left(let name, let room, let how): ["left", name.spelling, room.spelling, how]
      case .hello: ["hello"]
      case .present(let name, let room): ["present", name.spelling, room.spelling]
      case .alive: ["alive"]
      case .goodbye: ["goodbye"]
      }
    return ([server.spelling] + fields).joined(separator: "\t")
  }

  /// Understands a line; `nil` for what is none.
  public static func read(_ line: String) -> (server: ServerName, news: ChatNews)? {
    guard line.utf8.count <= ChatLimits.sentLine else { return nil }
    let fields = line.split(separator: "\t", maxSplits: 4, omittingEmptySubsequences: false).map(String.init)
    guard fields.count >= 2, let server = ServerName(fields[0]) else { return nil }
    return ChatNews(kind: fields[1], Array(fields[2...])).map { (server, $0) }
  }

  private init?(kind: String, _ rest: [String]) {
    let names = rest.prefix(2).compactMap(ChatName.init)
    let text = rest.last?.withoutControls ?? ""
    switch (kind, names.count, rest.count) {
    case ("said", 2, 3): self = .said(text, by: names[0], room: names[1])
    case ("whispered", 2, 3): self = .whispered(text, by: names[0], to: names[1])
    case ("joined", 2, 2): self = .joined(names[0], room: names[1])
    case ("left", 2, 3): self = .left(names[0], room: names[1], how: text)
    case ("hello", 0, 0): self = .hello
    case ("present", 2, 2): self = .present(names[0], room: names[1])
    case ("alive", 0, 0): self = .alive
    case ("goodbye", 0, 0): self = .goodbye
    default: return nil
    }
  }
}
