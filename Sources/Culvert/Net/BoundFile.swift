// SPDX-License-Identifier: Apache-2.0
// The file of a socket that is bound here: deleted once, by the process that made it.

import Synchronization

/// The file that a Unix socket of ours made, if its address has one.
struct BoundFile: ~Copyable, Sendable {
  private let file: SocketFile?
  private let isLeft = Atomic(true)
  /// A fork of this process has the object too, but the file is not its own to delete.
  private let origin = ProcessOrigin()

  init(_ file: SocketFile?) { self.file = file }

  /// The file is not ours to delete any more.
  func keep() { isLeft.store(false, ordering: .relaxed) }

  /// Deletes the file if it is still ours. To be called before the socket is closed: as long as it is open, no other file
  /// can have the inode's number.
  func remove() {
    guard isLeft.exchange(false, ordering: .relaxed), !origin.isElsewhere else { return }
    file?.remove()
  }
}
