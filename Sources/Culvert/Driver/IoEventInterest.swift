// SPDX-License-Identifier: Apache-2.0
// The directions that a descriptor can be waited on in. The values are libuv's own bits (a test says so).

/// What a task waits for on a descriptor.
public struct IoEventInterest: OptionSet, Sendable, Hashable {
  /// The bits, equal to libuv's `UV_READABLE` and so on.
  public let rawValue: UInt8
  /// Wraps raw bits.
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  /// A read would not block: there is data, or the end of the stream, or an error to be had.
  public static let readable = IoEventInterest(rawValue: 1)
  /// A write would not block: there is room in the send buffer, or an error to be had.
  public static let writable = IoEventInterest(rawValue: 2)
  /// The peer has sent all that it will, or is gone. Once true it stays true. Linux only.
  public static let peerFinished = IoEventInterest(rawValue: 4)

  /// There is urgent ("out-of-band") data; it stays true until that is read past. Linux only.
  public static let priority = IoEventInterest(rawValue: 8)

  static let everything: IoEventInterest = [.readable, .writable, .peerFinished, .priority]
}

extension IoEventInterest: CustomStringConvertible {
  /// The directions by name, such as "readable|writable".
  public var description: String {
    let names: [(IoEventInterest, String)] = [
      (.readable, "readable"), (.writable, "writable"), (.peerFinished, "peerFinished"),
      (.priority, "priority"),
    ]
    return names.filter { contains($0.0) }.map(\.1).joined(separator: "|")
  }
}
