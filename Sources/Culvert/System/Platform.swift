// SPDX-License-Identifier: Apache-2.0
// The one place that asks which platform this is. Calls that differ are hidden in CCulvert; here are the facts
// that Swift code has to decide by.

import CCulvert

enum Platform {
  /// Processors that this machine has on line.
  static var processorCount: Int { max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))) }

  /// kqueue reports "peer finished" only together with another event, so waiting for it alone would hang.
  static var canWaitForPeerFinished: Bool {
    #if os(Linux)
      true
    #else
      false
    #endif
  }

  /// Linux has names for Unix sockets outside the file system, which begin with a NUL.
  static var hasAbstractNames: Bool {
    #if os(Linux)
      true
    #else
      false
    #endif
  }

  /// Opens standard input anew, so that its non-blocking mode is ours alone: a terminal or a pipe shares the
  /// mode of its open file description with the shell and every other process that has it.
  static var standardInputPath: String {
    #if os(Linux)
      "/proc/self/fd/0"
    #else
      "/dev/fd/0"
    #endif
  }
}
