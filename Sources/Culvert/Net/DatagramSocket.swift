// SPDX-License-Identifier: Apache-2.0
// What UDP and Unix datagram sockets have in common: everything but how they are made.
// A class with subclasses, and not a protocol with extensions, for the reason that StreamSocket gives.

import CCulvert
import Synchronization

/// A socket of datagrams: messages that arrive whole, or not at all.
///
/// Safe to use from any thread and from several tasks at once: each datagram goes to one of those who receive. Dropping
/// the last reference closes it.
public class DatagramSocket: NetSocket, @unchecked Sendable {
  private let name: String
  /// Unix datagrams: a send may find its receiver full, and the kernel cuts no segments.
  final let isUnix: Bool
  /// Whether somebody asked for what comes in control messages.
  final let wantsControl = Atomic(false)

  init(_ registration: consuming AsyncRegistration, name: String, isUnix: Bool) {
    self.name = name
    self.isUnix = isUnix
    super.init(registration)
  }

  /// The peer's address, while it is connected. Throws `.closed`. `getpeername(2)`.
  public final var peerAddress: SocketAddress? {
    get throws(IoError) { try use("read the peer of") { (fd) throws(IoError) in Socket.ends(fd).peer } }
  }

  /// "UDP socket on ADDRESS".
  public override final var description: String { name }

  /// How many datagrams this socket has lost so far because they came faster than they were received: `.receiveBuffer` is the
  /// bound. `nil` where the system does not count (Darwin). `getsockopt(2)` with `SO_MEMINFO`.
  public final var drops: Int? {
    get throws(IoError) {
      let result = try use("count the drops of") { (fd) throws(IoError) in Syscalls.drops(fd) }
      if result.errno == ENOTSUP { return nil }
      return try result.value(during: "count the drops of \(self)")
    }
  }

  /// The datagrams that arrive, until the socket is closed; each is cut to `limit` bytes, and says so.
  ///
  /// ```swift
  /// for try await (bytes, datagram) in socket.datagrams(upTo: 2048) {
  ///   try await socket.send(bytes, to: datagram.sender)
  /// }
  /// ```
  /// What has not been taken waits in the kernel's receive buffer; `drops` counts what found no room there. Throws what else
  /// `receive(upTo:)` throws, and can then be used again.
  public final func datagrams(upTo limit: Int = 65_535) -> Datagrams { Datagrams(self, limit: limit) }
}

/// The datagrams of a socket, one after the other.
public struct Datagrams: AsyncSequence, Sendable {
  private let socket: DatagramSocket
  private let limit: Int

  init(_ socket: DatagramSocket, limit: Int) {
    self.socket = socket
    self.limit = limit
  }

  /// Starts to take datagrams; several iterators share them out.
  public func makeAsyncIterator() -> Iterator { Iterator(socket: socket, limit: limit) }

  /// Takes datagrams from a socket.
  public struct Iterator: AsyncIteratorProtocol {
    fileprivate let socket: DatagramSocket
    fileprivate let limit: Int

    /// The next datagram, or `nil` when the socket is closed; throws what else `receive(upTo:)` throws.
    public func next(
      isolation actor: isolated (any Actor)? = #isolation
    ) async throws(IoError) -> (bytes: [UInt8], datagram: Datagram)? {
      do throws(IoError) {
        return try await socket.receive(upTo: limit)
      } catch {
        if error.code == .closed { return nil }
        throw error
      }
    }
  }
}
