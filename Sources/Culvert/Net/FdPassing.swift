// SPDX-License-Identifier: Apache-2.0
// Descriptors that go from process to process over a Unix stream. No path through here leaks one: they belong to an
// `FdMessage` as soon as the system call has returned, and what is dropped is closed. Socket+Unix.swift has the facts.

import CCulvert

/// Bytes that arrived, and the descriptors that came with them: those that were not taken are closed with it.
public struct FdMessage: ~Copyable, Sendable {
  /// What arrived.
  public let bytes: [UInt8]
  private var waiting: ArraySlice<Int32>

  init(bytes: [UInt8], descriptors: [Int32]) {
    self.bytes = bytes
    waiting = descriptors[...]
  }

  deinit {
    for number in waiting { Descriptor(adopting: number).close() }
  }

  /// How many descriptors are still to be taken.
  public var descriptorCount: Int { waiting.count }

  /// Takes the next descriptor, in the order in which they were sent; `nil` after the last.
  public mutating func nextDescriptor() -> OwnedFd? {
    guard let number = waiting.popFirst() else { return nil }
    return OwnedFd(adopting: number)
  }
}

extension UnixStream {
  /// How many descriptors one message may carry.
  public static var mostDescriptors: Int { culvert_most_descriptors }

  /// Writes all of `bytes`, and gives the peer duplicates of `descriptors` with the first of them.
  ///
  /// ```swift
  /// try await stream.send(Array("log".utf8), descriptors: [file.fileDescriptor])
  /// let message = try await peer.receive(upTo: 4096)
  /// ```
  /// The descriptors stay the caller's, and must stay open until this returns. The peer gets all of them or none, in
  /// order; the two then share an open file description. Takes its turn among the writes. Throws `.invalidArgument`
  /// without a byte to carry them or for more than `mostDescriptors`, `.badDescriptor`, `.tooManyDescriptors` when too many
  /// are on their way, and what `write` throws; they have gone out if the error's `bytesWritten` is not 0. Cancelled, as
  /// `write`. `sendmsg(2)` with `SCM_RIGHTS`.
  public func send(_ bytes: [UInt8], descriptors: [Int32]) async throws(IoError) {
    let operation = "send \(descriptors.count) descriptors to \(self)"
    if bytes.isEmpty { throw IoError(.invalidArgument, during: operation + " without a byte") }
    if descriptors.count > Self.mostDescriptors {
      throw IoError(.invalidArgument, during: operation + ", of \(Self.mostDescriptors) at most")
    }
    try await writeTurn.take(during: "write to \(self)")
    defer { writeTurn.give() }
    try await send(bytes.count) { (fd, sent) throws(IoError) in
      try unsafe bytes.withUnsafeBufferPointer { (all) throws(IoError) in
        let rest = unsafe UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(all)[sent...])
        if sent > 0 { return try unsafe Socket.send(fd, rest, during: "write to \(self)") }
        return try unsafe Socket.send(fd, rest, descriptors: descriptors, during: operation)
      }
    }
  }

  /// As `send(_:descriptors:)` for numbers; a source that is closed meanwhile keeps its number until this returns.
  ///
  /// Throws `.closed` for one that is closed already.
  ///
  /// ```swift
  /// try await worker.send([1], descriptors: [connection])
  /// ```
  public func send(_ bytes: [UInt8], descriptors: [BridgedFd]) async throws(IoError) {
    var held: [Descriptor] = []
    defer { for descriptor in held { descriptor.release() } }
    for source in descriptors {
      guard source.descriptor.acquire() else {
        throw IoError(.closed, during: "send file descriptor \(source.fd) to \(self)")
      }
      held.append(source.descriptor)
    }
    try await send(bytes, descriptors: held.map(\.number))
  }

  /// Reads what has arrived, once something has: at most `limit` bytes, with the descriptors that came with them; `nil`
  /// at the end of the stream.
  ///
  /// ```swift
  /// while var message = try await stream.receive(upTo: 4096) {
  ///   while let descriptor = message.nextDescriptor() { … }
  /// }
  /// ```
  /// Descriptors come with the first byte that they were sent with, which need not be the first one here; never those of
  /// two sends at once. A plain `read` drops them. They are close-on-exec, and closed when they are not taken.
  ///
  /// When more than `most` come, or the process has no number left for all, those that came are closed and `.limitReached`
  /// or `.tooManyDescriptors` is thrown; the bytes are lost too, so the stream is of no more use. Throws what `read` throws;
  /// cancelled, it loses neither byte nor descriptor. `recvmsg(2)` with `SCM_RIGHTS`, `MSG_CMSG_CLOEXEC`.
  public func receive(
    upTo limit: Int, descriptors most: Int = UnixStream.mostDescriptors
  ) async throws(IoError) -> FdMessage? {
    if limit <= 0 { return FdMessage(bytes: [], descriptors: []) }
    var bytes = [UInt8](repeating: 0, count: limit)
    let (count, descriptors) = try await call(.readable, during: "receive from \(self)") {
      (fd) throws(IoError) in
      try unsafe bytes.withUnsafeMutableBufferPointer { (bytes) throws(IoError) in
        let room = UnsafeMutableRawBufferPointer(bytes)
        return try unsafe Socket.receive(fd, into: room, atMost: most, during: "receive from \(self)")
      }
    }
    let message = FdMessage(bytes: Array(bytes.prefix(count)), descriptors: descriptors)
    if count == 0 {
      try checkEnd(during: "receive from \(self)")
      return nil
    }
    return message
  }
}
