// SPDX-License-Identifier: Apache-2.0
// What one person types is shown on other people's terminals. This file keeps it from steering them.

extension StringProtocol {
  /// The same text, with a mark in the place of each character that could steer a terminal.
  ///
  /// Those are the control characters (escape among them, and the C1 range), line separators, and the marks
  /// that change the direction of text. A tab becomes a space.
  public var withoutControls: String {
    guard unicodeScalars.contains(where: \.steersTerminals) else { return String(self) }
    var text = String.UnicodeScalarView()
    for scalar in unicodeScalars {
      text.append(scalar == "\t" ? " " : scalar.steersTerminals ? "\u{FFFD}" : scalar)
    }
    return String(text)
  }
}

extension Unicode.Scalar {
  fileprivate var steersTerminals: Bool {
    switch properties.generalCategory {
    case .control, .lineSeparator, .paragraphSeparator: true
    default: ("\u{202A}"..."\u{202E}").contains(self) || ("\u{2066}"..."\u{2069}").contains(self)
    }
  }

  /// Whether it shows on a screen, other than as a gap.
  var isVisible: Bool {
    switch properties.generalCategory {
    case .control, .format, .surrogate, .privateUse, .unassigned: false
    case .spaceSeparator, .lineSeparator, .paragraphSeparator: false
    default: !properties.isDefaultIgnorableCodePoint
    }
  }
}
