// SPDX-License-Identifier: Apache-2.0
// What a line means that somebody in a room types. Pure: it knows the words, not who is where.

/// One typed line, understood.
public enum ChatCommand: Sendable, Equatable {
  /// Text for the room.
  case say(String)
  case join(room: String)
  case rooms
  case who
  case message(to: String, text: String)
  /// From now on `= ROOM`, `+ NAME …` and `- NAME` tell a program who is there. What people see does not change.
  case watch
  case help
  case quit
  /// An empty line.
  case nothing
  /// A command that lacks what belongs behind it, and how it is used.
  case incomplete(usage: String)
  case unknown(String)

  /// What `/help` shows, line by line.
  public static let helpLines = [
    "/join ROOM       go to a room; it is made when nobody is there",
    "/rooms           the rooms and how many are in each",
    "/who             the people in this room",
    "/msg NAME TEXT   tell one person",
    "/quit            leave",
    "everything else is said to the room",
  ]

  /// Understands a line.
  public init(_ line: String) {
    let words = line.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: true)
    guard let first = words.first else {
      self = .nothing
      return
    }
    guard first.unicodeScalars.first == "/" else {
      self = .say(line)
      return
    }
    let rest = words.count > 1 ? words[1].trimmed : ""
    self =
      switch first.lowercased() {
      case "/join": rest.isEmpty ? .incomplete(usage: "/join ROOM") : .join(room: rest)
      case "/rooms": .rooms
      case "/who": .who
      case "/msg": Self.message(rest)
      case "/watch": .watch
      case "/help": .help
      case "/quit": .quit
      default: .unknown(String(first))
      }
  }

  private static func message(_ nameAndText: String) -> ChatCommand {
    let parts = nameAndText.split(separator: " ", maxSplits: 1)
    guard parts.count == 2 else { return .incomplete(usage: "/msg NAME TEXT") }
    return .message(to: String(parts[0]), text: parts[1].trimmed)
  }
}

extension StringProtocol {
  /// The text without the spaces around it.
  var trimmed: String {
    let start = drop(while: \.isWhitespace)
    return String(start.reversed().drop(while: \.isWhitespace).reversed())
  }
}
