// SPDX-License-Identifier: Apache-2.0
// What people and rooms are called. A ChatName that exists is a good one: nobody checks it again.

/// The name of a person or of a room.
///
/// Names that differ only in case are the same name, so that nobody passes for somebody else.
public struct ChatName: Sendable {
  /// The room that everybody starts in.
  public static let lobby = ChatName(spelled: "lobby")
  /// The rule that `init` applies, in words for people.
  public static let rule = "a name has 1 to 20 visible characters, no spaces, and does not start with '/'"

  /// A character can be made of any number of scalars; this keeps 20 of them short.
  private static let maximumBytes = 80

  /// The name as its owner spells it.
  public let spelling: String
  /// What makes two names the same one.
  private let key: String

  /// A name, or `nil` for text that breaks the rule.
  public init?(_ text: String) {
    guard
      text.utf8.count <= Self.maximumBytes,
      (1...20).contains(text.count),
      text.unicodeScalars.first != "/",
      text.unicodeScalars.allSatisfy(\.isVisible)
    else { return nil }
    self.init(spelled: text)
  }

  private init(spelled text: String) {
    spelling = text
    key = text.lowercased()
  }
}

extension ChatName: Hashable, CustomStringConvertible {
  /// Equal when only the case differs.
  public static func == (one: ChatName, other: ChatName) -> Bool { one.key == other.key }
  /// Hashes what makes the name unique.
  public func hash(into hasher: inout Hasher) { hasher.combine(key) }
  /// The name as its owner spells it.
  public var description: String { spelling }
}
