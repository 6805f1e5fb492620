// SPDX-License-Identifier: Apache-2.0
// TLS without a stream: ciphertext in, ciphertext out, and steps that say what they need. Never waits; knows no I/O.

import CCulvertTLS
import COpenSSL
import Culvert

/// What a step came to.
enum TlsStep {
  /// It is done; of a read or a write so many bytes of plain text.
  case done(Int)
  /// It needs ciphertext.
  case wantsInput
  /// The peer has said, in TLS, that nothing more comes.
  case ended
  case failed(TlsFailure)
}

/// One connection's state. For one thread at a time: `TlsStream` keeps it under its lock, but for `sending`.
///
/// There is always room for ciphertext that is to be sent; `TlsStream` bounds it by sending it before it goes on.
@safe struct TlsEngine: ~Copyable {
  let connection: UnsafeMutablePointer<culvert_tls>
  /// Has what OpenSSL's callbacks look at.
  let context: SslContext
  /// The connection can't go on, whatever is asked.
  private var failure: TlsFailure?
  /// The stream below has ended.
  private var inputHasEnded = false
  /// We have said that nothing more comes.
  private(set) var hasFinished = false
  var isClosed = false
  /// How often ciphertext has come.
  private(set) var inputCount = 0
  /// A write, or an end, waits for ciphertext, which only a reader brings in: for more than had come then.
  var writerWaits: Int?
  /// A server that is to send its ticket with the first write.
  private var owesTicket: Bool
  /// Records until new keys are due.
  private var recordsLeft = mostRecords

  /// A key is good for some 2^24 records of AES-GCM (RFC 8446, 5.5).
  private static let mostRecords = 1 << 23
  private static let recordSize = Int(SSL3_RT_MAX_PLAIN_LENGTH)

  /// For a handshake with this role.
  static func make(_ context: SslContext, _ role: TlsRole) throws(TlsFailure) -> TlsEngine {
    let isServer = if case .server = role { true } else { false }
    if context.isOfServer != isServer {
      let detail = "the context is a \(context.isOfServer ? "server" : "client")'s"
      throw TlsFailure(code: .invalidArgument, detail: detail)
    }
    guard let connection = unsafe culvert_tls_new(context.context) else { throw .outOfMemory }
    let engine = unsafe TlsEngine(connection, context)
    try unsafe context.setUp(connection.pointee.ssl, as: role)
    return engine
  }

  private init(_ connection: UnsafeMutablePointer<culvert_tls>, _ context: SslContext) {
    unsafe self.connection = connection
    self.context = context
    owesTicket = context.isOfServer && context.configuration.resumesSessions
  }

  deinit { unsafe culvert_tls_free(connection) }

  private var ssl: OpaquePointer { unsafe connection.pointee.ssl }

  // MARK: steps

  mutating func handshake() -> TlsStep {
    let step = unsafe attempt { unsafe SSL_do_handshake($0) }
    if case .done = step { unsafe culvert_tls_release_when_idle(ssl) }
    return step
  }

  /// Reads what has come into `room`, which is not empty; at least a byte if it is done.
  mutating func read(into room: UnsafeMutableRawBufferPointer) -> TlsStep {
    var count = 0
    while count < room.count, unsafe culvert_tls_has_input(connection) {
      let rest = unsafe UnsafeMutableRawBufferPointer(rebasing: room[count...])
      let most = Int32(clamping: rest.count)
      let step = unsafe attempt { unsafe SSL_read($0, rest.baseAddress, most) }
      guard case .done(let some) = step else { return count > 0 ? .done(count) : waitOrEnd(step) }
      count += some
    }
    return count > 0 ? .done(count) : waitOrEnd(endOrWait)
  }

  /// The same, with ciphertext that lies in memory which is somebody else's: what is not used now is kept.
  mutating func read(
    into room: UnsafeMutableRawBufferPointer, lending chunk: UnsafeRawBufferPointer
  ) -> TlsStep {
    inputCount += 1
    unsafe connection.pointee.wire.lent = chunk.baseAddress?.assumingMemoryBound(to: UInt8.self)
    unsafe connection.pointee.wire.lent_count = chunk.count
    let step = unsafe read(into: room)
    if unsafe culvert_tls_keep_lent(connection) { return step }
    return fail(.outOfMemory)
  }

  /// Makes records of all of `bytes`.
  mutating func write(_ bytes: UnsafeRawBufferPointer) -> TlsStep {
    recordsLeft -= 1 + bytes.count / Self.recordSize
    if recordsLeft <= 0 { _ = updateKeys(ofPeer: false) }
    if owesTicket {
      owesTicket = false
      // Refused where the client can't use one.
      _ = unsafe SSL_new_session_ticket(ssl)
    }
    unsafe culvert_tls_reserve(connection, bytes.count)
    return unsafe attempt { unsafe SSL_write($0, bytes.baseAddress, Int32(bytes.count)) }
  }

  /// Says that nothing more comes.
  mutating func finish() -> TlsStep {
    if hasFinished { return .done(0) }
    // New keys that are due, or a message that has come in part: OpenSSL ends nothing before that is through.
    if unsafe SSL_in_init(ssl) != 0 {
      let step = handshake()
      guard case .done = step else { return step }
    }
    hasFinished = true
    return unsafe attempt { ssl in
      let result = unsafe SSL_shutdown(ssl)
      // 0 is: sent, and the peer has not said it yet.
      return result == 0 ? 1 : result
    }
  }

  /// Has new keys made for what we send, and, if that is asked for, for what the peer sends. They come with the next write.
  mutating func updateKeys(ofPeer: Bool) -> Bool {
    recordsLeft = Self.mostRecords
    let kind = ofPeer ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED
    ERR_clear_error()
    defer { ERR_clear_error() }
    return unsafe SSL_version(ssl) == TLS1_3_VERSION && SSL_key_update(ssl, kind) == 1
  }

  // MARK: ciphertext

  /// Ciphertext has come.
  mutating func feed(_ chunk: UnsafeRawBufferPointer) {
    inputCount += 1
    let isKept = unsafe culvert_tls_append(
      &connection.pointee.wire.incoming, chunk.baseAddress, chunk.count)
    if !isKept { _ = fail(.outOfMemory) }
  }

  /// No more ciphertext comes.
  mutating func endInput() {
    inputCount += 1
    inputHasEnded = true
  }

  /// Notes whether a write has to wait.
  mutating func noteWriter(_ step: TlsStep) {
    writerWaits = if case .wantsInput = step { inputCount } else { nil }
  }

  /// Whether there is ciphertext to be sent.
  var hasOutput: Bool {
    unsafe connection.pointee.wire.outgoing.start < connection.pointee.wire.outgoing.end
  }

  /// Moves the ciphertext that is to be sent to where it is sent from; false if there is none.
  mutating func takeOutput() -> Bool { unsafe culvert_tls_take_outgoing(connection) }

  /// Whether plain text may be there without a wait.
  var hasInput: Bool { unsafe culvert_tls_has_input(connection) }

  /// Memory that is held for ciphertext, used or not, for tests.
  var heldBytes: Int {
    let wire = unsafe connection.pointee.wire
    return unsafe wire.incoming.capacity + wire.outgoing.capacity + connection.pointee.sending.capacity
  }

  // MARK: errors

  private var endOrWait: TlsStep {
    if let failure { return .failed(failure) }
    return unsafe SSL_get_shutdown(ssl) & SSL_RECEIVED_SHUTDOWN != 0 ? .ended : .wantsInput
  }

  /// There will be no more input to wait for. Told by us and not by OpenSSL, to whom it would be the end of both directions.
  private func waitOrEnd(_ step: TlsStep) -> TlsStep {
    if case .wantsInput = step, inputHasEnded { return .failed(.truncated) }
    return step
  }

  private mutating func fail(_ failure: TlsFailure) -> TlsStep {
    self.failure = failure
    return .failed(failure)
  }

  private mutating func attempt(_ call: (OpaquePointer) -> Int32) -> TlsStep {
    if let failure { return .failed(failure) }
    ERR_clear_error()
    let result = unsafe call(ssl)
    if result > 0 { return .done(Int(result)) }
    switch unsafe SSL_get_error(ssl, result) {
    case SSL_ERROR_WANT_READ: return inputHasEnded ? .failed(.truncated) : .wantsInput
    case SSL_ERROR_ZERO_RETURN: return .ended
    default: return fail(unsafe .take(rejection: connection.pointee.rejection))
    }
  }
}
