// SPDX-License-Identifier: Apache-2.0
// What Redis answers, as a Swift value.

import CHiredis

/// A reply of Redis.
public enum RedisReply: Sendable, Equatable {
  /// Text; what is not UTF-8 is repaired.
  case text(String)
  /// A number.
  case integer(Int)
  /// Several replies.
  case array([RedisReply])
  /// No value.
  case nothing
  /// What Redis refused, and why.
  case error(String)

  /// Copies a reply of hiredis.
  init(_ reply: UnsafeMutableRawPointer) {
    unsafe self.init(reply.assumingMemoryBound(to: redisReply.self).pointee)
  }

  private init(_ reply: redisReply) {
    switch unsafe reply.type {
    case REDIS_REPLY_STRING, REDIS_REPLY_STATUS: self = .text(unsafe Self.text(of: reply))
    case REDIS_REPLY_ERROR: self = .error(unsafe Self.text(of: reply))
    case REDIS_REPLY_INTEGER: self = .integer(unsafe Int(reply.integer))
    case REDIS_REPLY_ARRAY:
      let parts = unsafe UnsafeBufferPointer(start: reply.element, count: Int(reply.elements))
      self = .array(unsafe parts.map { unsafe $0.map { unsafe RedisReply($0.pointee) } ?? .nothing })
    default: self = .nothing
    }
  }

  private static func text(of reply: redisReply) -> String {
    let bytes = unsafe UnsafeRawBufferPointer(start: reply.str, count: Int(reply.len))
    return unsafe String(decoding: bytes, as: UTF8.self)
  }
}
