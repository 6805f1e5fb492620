// SPDX-License-Identifier: Apache-2.0
// A descriptor that somebody gave us, and that nobody has registered yet. What is dropped is closed.

/// A file descriptor and the right to close it: it is closed when this is dropped, unless it was taken.
///
/// ```swift
/// let file = FileHandle(fileDescriptor: descriptor.take(), closeOnDealloc: true)
/// ```
/// Close-on-exec when it came from a message.
public struct OwnedFd: ~Copyable, Sendable {
  /// The descriptor's number, valid while this is there: for system calls that do not close it.
  public let fd: Int32

  /// Takes over `fd`, which nobody else may close from now on.
  public init(adopting fd: Int32) { self.fd = fd }

  deinit { Descriptor(adopting: fd).close() }

  /// Gives the number away, unclosed: whoever has it now must close it.
  public consuming func take() -> Int32 {
    let fd = fd
    discard self
    return fd
  }
}
