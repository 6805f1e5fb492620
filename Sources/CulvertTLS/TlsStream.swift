// SPDX-License-Identifier: Apache-2.0
// An encrypted stream over any other: who may do what at the same time, and the handshake.
//
// The engine is under a lock that is never held over a wait. One task at a time reads ciphertext, and one sends it, in the
// order in which it was made and whole. Ciphertext that is made is never thrown away, for the peer counts records: what a
// cancelled write has not sent the next one sends first.

import CCulvertTLS
public import Culvert

/// An encrypted stream over another one.
///
/// ```swift
/// let stream = try await TlsStream.connect(host: "example.org", port: 443)
/// try await stream.write("GET / HTTP/1.0\r\n\r\n")
/// while let chunk = try await stream.read(upTo: 4096) { … }
/// ```
/// Safe to use from any thread and from several tasks at once; one may read while another writes. Nobody else may use the
/// stream below meanwhile. Dropping the last reference closes it.
public final class TlsStream<Base: ByteStream>: ByteStream, CustomStringConvertible {
  /// The stream below.
  public let base: Base
  /// The stream below, if it is a socket: then who waits holds no buffer.
  let socket: StreamSocket?
  let engine: Locked<TlsEngine>
  let sending: CiphertextToSend
  let readTurn = WriteTurn()
  let writeTurn = WriteTurn()
  /// Whom a client has asked for.
  let host: String?
  /// "TLS over connection with ADDRESS".
  public var description: String { "TLS over \(base)" }

  /// A stream that has to shake hands first.
  init(
    over base: Base, _ context: SslContext, _ role: TlsRole, for operation: @autoclosure () -> String
  ) throws(IoError) {
    self.base = base
    socket = base as? StreamSocket
    if case .client(let host, _) = role { self.host = host } else { host = nil }
    do throws(TlsFailure) {
      let engine = try TlsEngine.make(context, role)
      sending = CiphertextToSend(engine)
      self.engine = Locked(engine)
    } catch {
      throw error.error(during: operation())
    }
  }

  deinit { close() }

  // MARK: making one

  /// Begins TLS as a client on a stream that is open already, such as after STARTTLS, and waits for the handshake's end.
  ///
  /// ```swift
  /// try await smtp.write("STARTTLS\r\n")
  /// guard try await reader.readLine()?.hasPrefix("220") == true, reader.bufferedCount == 0 else { … }
  /// let stream = try await TlsStream.client(over: smtp, host: "mail.example.org")
  /// ```
  /// What a reader has read ahead by then would be plain text that anybody may have put there: refuse it.
  ///
  /// Throws `.certificateRejected`, `.tlsRefused`, `.tlsIncompatible`, `.malformed` when what answers is not TLS, `.unexpectedEnd`, and what
  /// `base` throws, `.cancelled` too; `base` is closed then.
  ///
  /// - Parameters:
  ///   - base: the stream below, which belongs to this one from now on.
  ///   - host: who the server must prove to be: a name, or a numeric address.
  ///   - context: what to accept and to show; the system's roots if there is none.
  ///   - session: one of an earlier connection with that host.
  public static func client(
    over base: Base, host: String, context: TlsContext? = nil, session: TlsSession? = nil
  ) async throws(IoError) -> TlsStream {
    let context = if let context { context } else { try TlsContext.ofEveryClient() }
    return try await shakeHands(
      over: base, context.current, .client(host: host, session), "shake hands with \(host) over \(base)")
  }

  /// Begins TLS as a server on a stream that is open already. It has no limit of time. Otherwise as `client(over:host:context:session:)`.
  public static func server(over base: Base, context: TlsContext) async throws(IoError) -> TlsStream {
    try await shakeHands(over: base, context.current, .server, "shake hands over \(base)")
  }

  private static func shakeHands(
    over base: Base, _ context: SslContext, _ role: TlsRole, _ operation: @autoclosure () -> String
  ) async throws(IoError) -> TlsStream {
    let stream: TlsStream
    do throws(IoError) {
      stream = try TlsStream(over: base, context, role, for: operation())
    } catch {
      base.close()
      throw error
    }
    do throws(IoError) {
      try await stream.handshake(during: operation())
      return stream
    } catch {
      stream.engine.withLock { $0.isClosed = true }
      stream.closeBase()
      throw error
    }
  }

  /// Nobody else has the stream yet.
  private func handshake(during operation: @autoclosure () -> String) async throws(IoError) {
    while true {
      let step = engine.withLock { $0.handshake() }
      if case .failed(let failure) = step {
        await sendAlert()
        throw failure.error(during: operation())
      }
      try await flush()
      if case .done = step { return }
      try await feed()
    }
  }
}

/// Ciphertext on its way. For the task whose turn it is to write, and for nobody else; not under the engine's lock.
@safe struct CiphertextToSend: @unchecked Sendable {
  private let bytes: UnsafeMutablePointer<culvert_tls_bytes>

  init(_ engine: borrowing TlsEngine) {
    unsafe bytes = culvert_tls_sending(engine.connection)
  }

  var count: Int { unsafe bytes.pointee.end - bytes.pointee.start }

  var all: UnsafeRawBufferPointer {
    // Where there is nothing there may be no memory.
    guard let memory = unsafe bytes.pointee.memory else { return unsafe .init(start: nil, count: 0) }
    return unsafe UnsafeRawBufferPointer(start: memory + bytes.pointee.start, count: count)
  }

  func drop(_ count: Int) { unsafe culvert_tls_drop(bytes, count) }
}
