// SPDX-License-Identifier: Apache-2.0
// A connection to PostgreSQL through libpq, which never blocks: libpq says what to wait for, Culvert waits.
//
// The socket is libpq's, and while it connects it may close one and try another that gets the same number. So each of those
// waits borrows anew. A connection that stands keeps its socket until it is dropped.

import CLibpq
import Culvert
import Foundation

/// What PostgreSQL or libpq says is wrong.
struct PostgresError: Error, CustomStringConvertible {
  let description: String

  /// The first line of what libpq tells; the rest is advice.
  init(_ message: UnsafeMutablePointer<CChar>?, during operation: String) {
    let text = unsafe message.map { unsafe String(cString: $0) } ?? "out of memory"
    let line = text.split(separator: "\n").first.map(String.init) ?? "no reason was given"
    description = "\(operation): \(line)"
  }
}

/// One connection. It belongs to one task at a time.
@safe final class Postgres {
  /// Something that somebody told to a channel.
  struct Notification {
    let channel: String
    let payload: String
  }

  private let connection: OpaquePointer
  private let socket: BridgedFd

  /// Connects; `options` as libpq takes them ("host=… port=…"), which also reads PGHOST and its like. A host's name is looked up
  /// while this thread waits: give addresses, or a folder of Unix sockets. `PQconnectPoll`.
  init(_ options: String) async throws {
    guard let connection = unsafe PQconnectStart(options) else {
      throw unsafe PostgresError(nil, during: "connect to PostgreSQL")
    }
    do {
      try await unsafe Self.finishConnecting(connection)
      socket = try BridgedFd(borrowing: unsafe PQsocket(connection))
    } catch {
      unsafe PQfinish(connection)
      throw error
    }
    unsafe self.connection = unsafe connection
    _ = unsafe PQsetnonblocking(connection, 1)
  }

  deinit {
    socket.close()
    unsafe PQfinish(connection)
  }

  /// Runs one statement whose parameters are `$1`, `$2`, …; returns its rows. `PQsendQueryParams`.
  @discardableResult
  func query(_ statement: String, _ parameters: [String] = []) async throws -> [[String?]] {
    let texts = unsafe parameters.map { unsafe strdup($0) }
    defer { unsafe texts.forEach { unsafe free($0) } }
    let values = unsafe texts.map { unsafe UnsafePointer($0) }
    let count = Int32(parameters.count)
    guard unsafe PQsendQueryParams(connection, statement, count, nil, values, nil, nil, 0) == 1 else {
      throw failure("send a query")
    }
    try await flush()
    var rows: [[String?]] = []
    var problem: PostgresError?
    // To the end, whatever comes: only then is the connection ready for the next query.
    while let result = unsafe try await nextResult() {
      defer { unsafe PQclear(result) }
      switch unsafe PQresultStatus(result) {
      case PGRES_TUPLES_OK: rows += unsafe Self.rows(of: result)
      case PGRES_COMMAND_OK, PGRES_EMPTY_QUERY: break
      default: unsafe problem = PostgresError(PQresultErrorMessage(result), during: "query")
      }
    }
    if let problem { throw problem }
    return rows
  }

  /// Waits for the next notification. `PQnotifies`.
  func notification() async throws -> Notification {
    while true {
      if let told = unsafe PQnotifies(connection) {
        defer { unsafe PQfreemem(told) }
        return unsafe Notification(
          channel: String(cString: told.pointee.relname), payload: String(cString: told.pointee.extra))
      }
      try await socket.ready(for: .readable)
      try takeInput()
    }
  }

  private func flush() async throws {
    while true {
      switch unsafe PQflush(connection) {
      case 0: return
      case 1:
        // The server may have to get rid of something before it reads on.
        if try await socket.ready(for: [.readable, .writable]).contains(.readable) { try takeInput() }
      default: throw failure("send a query")
      }
    }
  }

  private func nextResult() async throws -> OpaquePointer? {
    while unsafe PQisBusy(connection) == 1 {
      try await socket.ready(for: .readable)
      try takeInput()
    }
    return unsafe PQgetResult(connection)
  }

  private func takeInput() throws {
    guard unsafe PQconsumeInput(connection) == 1 else { throw failure("read from PostgreSQL") }
  }

  private func failure(_ operation: String) -> PostgresError {
    unsafe PostgresError(PQerrorMessage(connection), during: operation)
  }

  private static func rows(of result: OpaquePointer) -> [[String?]] {
    (0..<(unsafe PQntuples(result))).map { row in
      (0..<(unsafe PQnfields(result))).map { column in
        unsafe PQgetisnull(result, row, column) == 1 ? nil : String(cString: PQgetvalue(result, row, column))
      }
    }
  }

  private static func finishConnecting(_ connection: OpaquePointer) async throws {
    var step = PGRES_POLLING_WRITING
    while step == PGRES_POLLING_WRITING || step == PGRES_POLLING_READING {
      guard unsafe PQstatus(connection) != CONNECTION_BAD else { break }
      let socket = try BridgedFd(borrowing: unsafe PQsocket(connection))
      defer { socket.close() }
      try await socket.ready(for: step == PGRES_POLLING_WRITING ? .writable : .readable)
      step = unsafe PQconnectPoll(connection)
    }
    guard step == PGRES_POLLING_OK else {
      throw unsafe PostgresError(PQerrorMessage(connection), during: "connect to PostgreSQL")
    }
  }
}
