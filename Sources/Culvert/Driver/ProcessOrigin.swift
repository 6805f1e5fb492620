// SPDX-License-Identifier: Apache-2.0
// fork(2) copies memory and descriptors, but of the threads only the caller's: in the child no worker runs, and the
// loops' epoll descriptors are those of the parent, where a change would be felt. So nothing made before a fork touches
// its loop in the child, and every wait there fails at once.

import CCulvert

/// Which process something belongs to.
struct ProcessOrigin: Sendable {
  private let forks = culvert_fork_count()

  /// Whether the calling process is a fork of the one that this belongs to.
  @inline(__always)
  var isElsewhere: Bool { culvert_fork_count() != forks }

  /// Throws `.shutDown` in a fork.
  @inline(__always)
  func check(during operation: @autoclosure () -> String) throws(IoError) {
    if isElsewhere {
      throw IoError(.shutDown, during: operation() + ", in a fork of the process that began it")
    }
  }
}
