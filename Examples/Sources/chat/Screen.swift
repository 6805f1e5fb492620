// SPDX-License-Identifier: Apache-2.0
// Standard output, whole lines at once. It may block: a terminal stops with Ctrl-S, a pipe fills.

import Culvert
import Foundation

enum Screen {
  /// Writes a line at once. Blocks as long as standard output does.
  static func write(_ line: String) {
    try? FileHandle.standardOutput.write(contentsOf: Data("\(line)\n".utf8))
  }

  /// Shows a line without blocking a worker, so that a stopped terminal does not stop the server behind it.
  /// Returns when the line is shown, or when the task is cancelled.
  static func show(_ line: String) async {
    try? await offload { write(line) }
  }
}
