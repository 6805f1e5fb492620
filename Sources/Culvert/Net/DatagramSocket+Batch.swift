// SPDX-License-Identifier: Apache-2.0
// Many datagrams in one system call, where the system has such a call; in a loop elsewhere.

import Synchronization

extension DatagramSocket {
  /// Fills `batch` with what has arrived, once something has, and returns how many datagrams that are: at least one.
  ///
  /// What the batch held before is gone. Otherwise as `receive(into:)`: an error that came back is thrown once, no datagram is
  /// lost by cancellation, each says whether it was cut. Allocates nothing. `recvmmsg(2)`.
  @discardableResult
  public final func receiveBatch(into batch: DatagramBatch) async throws(IoError) -> Int {
    batch.removeAll()
    let control = wantsControl.load(ordering: .relaxed)
    batch.count = try await call(.readable, during: "receive a batch on \(self)") {
      (fd) throws(IoError) in
      try unsafe Syscalls.receiveBatch(fd, batch.raw, control: control)
        .valueUnlessBlocked(during: "receive a batch on \(self)")
    }
    return batch.count
  }

  /// Sends the datagrams of `batch` from number `first` on: those that were appended to their addresses, those that were
  /// received back to their senders.
  ///
  /// Goes on until all have gone out. When it throws, `batch.sent` tells how many had: what `send(_:to:)` throws, for the
  /// datagram of that number or for one sent before; `sendBatch(batch, from: batch.sent)` goes on. Allocates nothing.
  /// `sendmmsg(2)`.
  public final func sendBatch(_ batch: DatagramBatch, from first: Int = 0) async throws(IoError) {
    batch.sent = first
    while batch.sent < batch.count {
      let end = isUnix ? endOfWholes(batch) : batch.count
      if end == batch.sent {
        try await sendSegmentsAlone(batch)
        continue
      }
      do throws(IoError) {
        batch.sent += try await callToSend(during: "send a batch on \(self)") { (fd) throws(IoError) in
          try unsafe Syscalls.sendBatch(fd, batch.raw, batch.sent..<end)
            .valueUnlessBlocked(during: "send a batch on \(self)")
        }
      } catch {
        guard Self.refusesSegments(error), batch[batch.sent].segmentSize != nil else { throw error }
        try await sendSegmentsAlone(batch)
      }
    }
  }

  /// Up to where the rest of the batch has no segments: a Unix socket would send those joined, without an error.
  private func endOfWholes(_ batch: DatagramBatch) -> Int {
    (batch.sent..<batch.count).first { batch[$0].segmentSize != nil } ?? batch.count
  }

  /// The next of the batch, whose segments the kernel does not cut itself.
  private func sendSegmentsAlone(_ batch: DatagramBatch) async throws(IoError) {
    let datagram = batch[batch.sent]
    let address = datagram.sender == .unnamed ? nil : datagram.sender
    let (bytes, size) = (batch.bytes(of: batch.sent), datagram.segmentSize ?? datagram.count)
    try await send(segments: bytes, of: size, to: address)
    batch.sent += 1
  }
}
