// SPDX-License-Identifier: Apache-2.0
// What the suites of TLS need: pairs of streams, how long things may take, how an error is caught.
import CulvertTLS
import CulvertTesting
import Foundation
import Testing

@testable import Culvert

/// Whether system calls fail at random in this run (`make chaos`).
let isChaotic = unsafe getenv("CULVERT_CHAOS_SEED") != nil

/// How often a test tries: as often as CI has time for, or, with CULVERT_STRESS in the environment, the figure that
/// settles it.
func rounds(ci: Int, stress: Int) -> Int { unsafe getenv("CULVERT_STRESS") == nil ? ci : stress }

private let isSanitized = unsafe dlsym(nil, "__asan_init") != nil || dlsym(nil, "__tsan_init") != nil

/// How long a test may take at most, others beside it. Nothing takes that long unless something hangs.
let watchdog: TimeLimitTrait.Duration = .minutes(rounds(ci: isSanitized ? 15 : 5, stress: 120))

/// The error that `body` fails with.
func failure<R>(_ body: () async throws -> R) async throws -> IoError {
  do {
    _ = try await body()
  } catch let error as IoError {
    return error
  }
  throw Unmet("nothing failed")
}

struct Unmet: Error {
  let what: String
  init(_ what: String) { self.what = what }
}

/// Contexts of a client and a server that trust each other's certificates.
struct Contexts: Sendable {
  let client: TlsContext
  let server: TlsContext

  /// With certificates for localhost, 127.0.0.1 and ::1.
  init(
    client adjustClient: (inout TlsConfiguration) throws -> Void = { _ in },
    server adjustServer: (inout TlsConfiguration) throws -> Void = { _ in }
  ) throws {
    let authority = try TestAuthority.shared.get()
    var (client, server) = (TlsConfiguration(), TlsConfiguration())
    client.trust = .roots(authority.roots)
    server.identity = authority.localhost.identity
    try adjustClient(&client)
    try adjustServer(&server)
    self.client = try TlsContext(client: client)
    self.server = try TlsContext(server: server)
  }

  /// TLS over the two ends of a connection; throws what the client's handshake throws, or else the server's.
  func pair<Near: ByteStream, Far: ByteStream>(
    over near: Near, _ far: Far, host: String = "localhost", session: TlsSession? = nil
  ) async throws -> (client: TlsStream<Near>, server: TlsStream<Far>) {
    let (client, server) = await outcomes(over: near, far, host: host, session: session)
    return (try client.get(), try server.get())
  }

  /// How each of the two handshakes ends.
  func outcomes<Near: ByteStream, Far: ByteStream>(
    over near: Near, _ far: Far, host: String = "localhost", session: TlsSession? = nil
  ) async -> (client: Result<TlsStream<Near>, IoError>, server: Result<TlsStream<Far>, IoError>) {
    async let served = result { () throws(IoError) in try await TlsStream.server(over: far, context: server) }
    let connected = await result { () throws(IoError) in
      try await TlsStream.client(over: near, host: host, context: client, session: session)
    }
    return (connected, await served)
  }

  /// The same over TCP.
  func tcpPair(session: TlsSession? = nil) async throws -> (
    client: TlsStream<TcpStream>, server: TlsStream<TcpStream>
  ) {
    let (near, far) = try await TcpStream.loopbackPair()
    return try await pair(over: near, far, session: session)
  }
}

private func result<R: Sendable>(_ body: () async throws(IoError) -> R) async -> Result<R, IoError> {
  do throws(IoError) { return .success(try await body()) } catch { return .failure(error) }
}

/// Runs `body` on the only worker of a runtime of its own.
func onOneWorker<R: Sendable>(
  _ body: @escaping @concurrent @Sendable (Worker) async throws -> R
) async throws -> R {
  try await withRuntime(workers: 1) { runtime in try await body(runtime.workers[0]) }
}

/// What several tasks have noted.
final class Notes<Note: Sendable>: Sendable {
  private let notes = Locked<[Note]>([])

  func add(_ note: Note) { notes.withLock { $0.append(note) } }
  var all: [Note] { notes.withLock { $0 } }
}
