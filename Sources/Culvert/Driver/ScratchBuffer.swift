// SPDX-License-Identifier: Apache-2.0
// One piece of memory for all tasks of a worker: who waits to read needs none of his own.

/// Memory to be used between two waits. Worker thread only.
@safe final class ScratchBuffer {
  static let size = 65_536
  private let storage = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 16)

  deinit { unsafe storage.deallocate() }

  /// Calls `body` with the calling worker's memory; elsewhere with memory that lives that long.
  static func use<R>(_ body: (UnsafeMutableRawBufferPointer) throws(IoError) -> R) throws(IoError) -> R {
    let scratch = IoDriver.current?.scratch ?? ScratchBuffer()
    return try unsafe body(scratch.storage)
  }
}
