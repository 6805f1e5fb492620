// SPDX-License-Identifier: Apache-2.0
// What all listeners have in common: accepting, also under pressure.

import CCulvert

/// A socket that connections come to, as streams of its own kind.
///
/// Safe to use from any thread and from several tasks at once. Dropping the last reference closes it.
public class ListenerSocket<Stream: StreamSocket>: NetSocket, @unchecked Sendable {
  private let name: String
  private let onPressure: (@Sendable (IoError) -> Void)?
  /// Takes over an accepted connection.
  private let makeStream: MakeStream
  typealias MakeStream = @Sendable (Int32, SocketAddress) throws(IoError) -> Stream

  init(
    _ registration: consuming AsyncRegistration, name: String, onPressure: (@Sendable (IoError) -> Void)?,
    makeStream: @escaping MakeStream
  ) {
    self.name = name
    self.onPressure = onPressure
    self.makeStream = makeStream
    super.init(registration)
  }

  /// Waits for the next connection.
  ///
  /// Connections that ended before they were accepted are passed over. When the process or the system has no descriptor
  /// or memory left, it pauses (5 to 160 ms, less if one of this library's descriptors is closed) and tries again: the
  /// connection stays in the backlog meanwhile, and `onPressure` is told once. Throws `.closed`, `.cancelled`,
  /// `.shutDown`; no accepted connection is lost by cancellation. `accept4(2)`.
  public final func accept() async throws(IoError) -> Stream {
    var pause = Backoff()
    while true {
      do throws(IoError) {
        let (fd, peer) = try await call(.readable, during: "accept from \(self)") {
          (fd) throws(IoError) in
          try Socket.accept(fd, during: "accept from \(self)")
        }
        return try makeStream(fd, peer)
      } catch {
        // Nobody is to wait here any more, not for a descriptor either.
        if hasEndedWaits { throw IoError(.closed, during: "accept from \(self)") }
        // Again, through the retry loop: a peer that makes many of these takes no more time than a busy one.
        if Self.isOfOneConnection(error) { continue }
        guard Backoff.isCalledFor(by: error) else { throw error }
        if pause.isFirst { onPressure?(error) }
        try await pause.wait(orForDescriptor: true, during: "accept from \(self)")
      }
    }
  }

  /// The next connection if it has come already: one try.
  final func acceptNow() async throws(IoError) -> Stream? {
    let accepted = try await callNow(during: "accept from \(self)") { (fd) throws(IoError) in
      try Socket.accept(fd, during: "accept from \(self)")
    }
    guard let (fd, peer) = accepted else { return nil }
    return try makeStream(fd, peer)
  }

  /// The fault of one connection, not of the listener: accept(2) says to try again.
  static func isOfOneConnection(_ error: IoError) -> Bool {
    switch error.errno {
    case ECONNABORTED, EPROTO, ENETDOWN, ENOPROTOOPT, EHOSTDOWN, EHOSTUNREACH, EOPNOTSUPP, ENETUNREACH: true
    default: false
    }
  }

  /// The connections that arrive, until the listener is closed.
  ///
  /// ```swift
  /// for try await stream in listener.connections { … }
  /// ```
  /// Ends when the listener is closed; throws what else `accept` throws, and can then be used again.
  public final var connections: Connections<Stream> { Connections(self) }

  /// "listener on ADDRESS".
  public override final var description: String { name }
}

/// The connections of a listener, one after the other.
public struct Connections<Stream: StreamSocket>: AsyncSequence, Sendable {
  private let listener: ListenerSocket<Stream>
  init(_ listener: ListenerSocket<Stream>) { self.listener = listener }

  /// Starts to take connections; several iterators share them out.
  public func makeAsyncIterator() -> Iterator { Iterator(listener: listener) }

  /// Takes connections from a listener.
  public struct Iterator: AsyncIteratorProtocol {
    fileprivate let listener: ListenerSocket<Stream>

    /// The next connection, or `nil` when the listener is closed; throws what else `accept` throws.
    public func next(isolation actor: isolated (any Actor)? = #isolation) async throws(IoError) -> Stream? {
      do throws(IoError) {
        return try await listener.accept()
      } catch {
        if error.code == .closed { return nil }
        throw error
      }
    }
  }
}
