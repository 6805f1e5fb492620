// SPDX-License-Identifier: Apache-2.0
// What TCP connections and Unix streams have in common: everything but how they are made.
// A class with subclasses, and not a protocol with extensions: those are generic code, which costs each call from another
// module hundreds of instructions.

import CCulvert
import Synchronization

/// A connection: a stream of bytes each way.
///
/// Safe to use from any thread and from several tasks at once; one may read while another writes. Dropping the last
/// reference closes it.
public class StreamSocket: NetSocket, @unchecked Sendable {
  /// The other end's address.
  public final let peerAddress: SocketAddress
  final let writeTurn = WriteTurn()
  /// The errno of a broken connection that a write was told of, until a read is told too. The kernel tells it once: to the
  /// other direction a stream that was cut off would look as if it had ended.
  private let breakage = Atomic<Int32>(0)

  init(_ registration: consuming AsyncRegistration, peer: SocketAddress) {
    peerAddress = peer
    super.init(registration)
  }

  /// Sends the end of our stream once all that was written has gone out; reading goes on.
  ///
  /// A peer that is gone already is no error. Throws `.closed`. `shutdown(2)`.
  public final func shutdown() throws(IoError) {
    try use("shut down") { (fd) throws(IoError) in
      try Socket.finishSending(fd, during: "shut down \(self)")
    }
  }

  /// Closes both directions: who waits gets `.closed`. What was written still goes out, in the background.
  /// Idempotent, and returns at once. `close(2)`.
  public override final func close() {
    super.close()
    writeTurn.close()
  }

  /// A write has failed.
  final func noteFailure(_ error: IoError) {
    if [ECONNRESET, ECONNABORTED, ETIMEDOUT, EHOSTUNREACH, ENETUNREACH].contains(error.errno) {
      breakage.store(error.errno, ordering: .releasing)
    }
  }

  /// A read has found the end of the stream: throws, once, if that is none.
  final func checkEnd(during operation: @autoclosure () -> String) throws(IoError) {
    let errno = breakage.exchange(0, ordering: .acquiringAndReleasing)
    if errno != 0 { throw IoError(errno: errno, during: operation()) }
  }

  /// What is being done, for errors. Not inlined: the room for making a text would be in the frame of each task that reads.
  @inline(never) final var reading: String { "read from \(self)" }
  @inline(never) final var writing: String { "write to \(self)" }

  /// "connection with ADDRESS".
  public override final var description: String { "connection with \(peerAddress)" }
}
