// SPDX-License-Identifier: Apache-2.0
// One connection of hiredis that never blocks: hiredis writes, reads and understands, Culvert waits.
//
// hiredis has an asynchronous layer, too, with hooks for event loops. It is not used: it asserts that a server sends nothing but what
// was asked for, so a Redis that is none could end the process (DECISIONS.md).

import CHiredis
public import Culvert
import Foundation

/// What hiredis or Redis says is wrong.
public struct RedisError: Error, CustomStringConvertible {
  /// In words.
  public let description: String

  init(_ description: String) { self.description = description }
}

/// A connection to Redis, for one task at a time. It is closed when it is dropped, and of no use after an error.
@safe
public actor RedisConnection {
  /// The most that may have come of a reply that is not whole.
  private static let longestReply = 1 << 20
  /// What hiredis makes replies with, but that there is no memory for one that says it has more than 1,024 parts: hiredis makes
  /// room for all of them at once, 16 GB if it is told so.
  private nonisolated(unsafe) static let makers: UnsafeMutablePointer<redisReplyObjectFunctions> = {
    let makers = UnsafeMutablePointer<redisReplyObjectFunctions>.allocate(capacity: 1)
    unsafe makers.initialize(to: ordinaryMakers)
    unsafe makers.pointee.createArray = { task, count in
      count > 1024 ? nil : unsafe ordinaryMakers.createArray(task, count)
    }
    return unsafe makers
  }()
  private static let ordinaryMakers: redisReplyObjectFunctions = {
    let reader = unsafe redisReaderCreate()
    defer { unsafe redisReaderFree(reader) }
    return unsafe reader!.pointee.fn.pointee
  }()
  /// hiredis writes with write(2): of a connection that is gone it is to be told by an error.
  private static let ignorePipeSignal: Void = { _ = signal(SIGPIPE, SIG_IGN) }()

  private let home: Worker
  private let context: UnsafeMutablePointer<redisContext>
  private let socket: BridgedFd

  /// The actor's code runs on its worker's thread, beside the socket.
  public nonisolated var unownedExecutor: UnownedSerialExecutor {
    unsafe home.serial.asUnownedSerialExecutor()
  }

  /// Begins to connect to a numeric address; the first command tells whether that has worked. `redisConnectNonBlock`.
  public init(to host: String, port: UInt16, on home: Worker) throws {
    Self.ignorePipeSignal
    guard let context = unsafe redisConnectNonBlock(host, Int32(port)) else {
      throw RedisError("out of memory")
    }
    do {
      try unsafe Self.check(context)
      unsafe context.pointee.reader.pointee.fn = Self.makers
      // A duplicate: hiredis closes its own when it is freed.
      socket = try BridgedFd(borrowing: unsafe context.pointee.fd)
    } catch {
      unsafe redisFree(context)
      throw error
    }
    unsafe self.context = unsafe context
    self.home = home
  }

  isolated deinit {
    socket.close()
    unsafe redisFree(context)
  }

  /// Sends a command and waits for its reply; throws what Redis refuses.
  @discardableResult
  public func command(_ words: String...) async throws -> RedisReply {
    try append(words)
    try await flush()
    return try await reply()
  }

  /// The next message of a channel that was subscribed to.
  public func message() async throws -> String {
    while true {
      if case .array(let parts) = try await reply(), parts.first == .text("message"),
        case .text(let text)? = parts.last
      {
        return text
      }
    }
  }

  private func append(_ words: [String]) throws {
    let texts = unsafe words.map { unsafe strdup($0) }
    defer { unsafe texts.forEach { unsafe free($0) } }
    var arguments = unsafe texts.map { unsafe UnsafePointer($0) }
    unsafe redisAppendCommandArgv(context, Int32(words.count), &arguments, words.map(\.utf8.count))
    try unsafe Self.check(context)
  }

  private func flush() async throws {
    var isDone: Int32 = 0
    while isDone == 0 {
      try await socket.ready(for: .writable)
      unsafe redisBufferWrite(context, &isDone)
      try unsafe Self.check(context)
    }
  }

  private func reply() async throws -> RedisReply {
    while true {
      var reply: UnsafeMutableRawPointer?
      // Of a context that does not block: no reply where none is whole.
      unsafe redisGetReply(context, &reply)
      try unsafe Self.check(context)
      if let reply = unsafe reply {
        defer { unsafe freeReplyObject(reply) }
        let answer = unsafe RedisReply(reply)
        if case .error(let message) = answer { throw RedisError(message) }
        return answer
      }
      if unsafe context.pointee.reader.pointee.len > Self.longestReply + context.pointee.reader.pointee.pos {
        throw RedisError("a reply of more than \(Self.longestReply) bytes")
      }
      try await socket.ready(for: .readable)
      unsafe redisBufferRead(context)
      try unsafe Self.check(context)
    }
  }

  private static func check(_ context: UnsafeMutablePointer<redisContext>) throws {
    if unsafe context.pointee.err == 0 { return }
    let text = unsafe withUnsafeBytes(of: context.pointee.errstr) {
      unsafe String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
    }
    throw RedisError(text)
  }
}
