// SPDX-License-Identifier: Apache-2.0
// Socket options: where the kernel keeps them, in what form, and how an error names them. SocketOptions.swift lists them.

import CCulvert

/// An option of sockets, with the type of its value.
///
/// ```swift
/// try stream.set(.keepAliveIdle, to: .seconds(30))
/// let bytes = try stream.get(.receiveBuffer)
/// ```
/// For an option that is not listed make one: `SocketOption<Int>(level: SOL_SOCKET, number: SO_PRIORITY, name: "SO_PRIORITY")`.
public struct SocketOption<Value: Sendable>: Sendable {
  /// The kernel's name for it, which errors quote.
  public let name: String
  private let key: Key
  /// For IPv6 sockets, where that differs.
  private let ipv6Key: Key?
  private let encode: @Sendable (Value) -> [UInt8]?
  private let decode: @Sendable ([UInt8]) -> Value?
  /// What `encode` takes, in words.
  private let range: String

  private struct Key {
    let level: Int32
    let number: Int32
  }

  init(
    _ name: String, _ level: Int32, _ number: Int32, ipv6: (level: Int32, number: Int32)? = nil,
    range: String = "its range", encode: @escaping @Sendable (Value) -> [UInt8]?,
    decode: @escaping @Sendable ([UInt8]) -> Value?
  ) {
    self.name = name
    key = Key(level: level, number: number)
    ipv6Key = ipv6.map { Key(level: $0.level, number: $0.number) }
    self.range = range
    self.encode = encode
    self.decode = decode
  }

  /// Reads it from a socket. `getsockopt(2)`.
  func get(_ fd: Int32, of what: @autoclosure () -> String) throws(IoError) -> Value {
    let key = key(for: fd)
    var bytes = [UInt8](repeating: 0, count: 512)
    let operation = "read \(name) of \(what())"
    let count = try Syscalls.getOption(fd, level: key.level, name: key.number, into: &bytes).value(
      during: operation)
    guard let value = decode(Array(bytes.prefix(count))) else {
      throw IoError(.unsupported, during: operation + ", \(count) bytes")
    }
    return value
  }

  /// Sets it on a socket. `setsockopt(2)`.
  func set(_ fd: Int32, to value: Value, of what: @autoclosure () -> String) throws(IoError) {
    let key = key(for: fd)
    guard let bytes = encode(value) else {
      throw IoError(
        .invalidArgument, during: "set \(name) of \(what()) to \(value), which is not in \(range)")
    }
    _ = try Syscalls.setOption(fd, level: key.level, name: key.number, to: bytes)
      .value(during: "set \(name) of \(what()) to \(value)")
  }

  private func key(for fd: Int32) -> Key {
    guard let ipv6Key else { return key }
    return Socket.family(fd) == AF_INET6 ? ipv6Key : key
  }
}

extension SocketOption where Value == Int {
  /// An option that is a whole number.
  public init(level: Int32, number: Int32, name: String) {
    self.init(number: number, level: level, name: name)
  }

  init(
    number: Int32, level: Int32, name: String, ipv6: (level: Int32, number: Int32)? = nil,
    in range: ClosedRange<Int> = Int(Int32.min)...Int(Int32.max)
  ) {
    self.init(name, level, number, ipv6: ipv6, range: "\(range)") { value in
      range.contains(value) ? Int32(value).bytes : nil
    } decode: {
      Int32($0).map(Int.init)
    }
  }
}

extension SocketOption where Value == Bool {
  /// An option that is on or off.
  public init(level: Int32, number: Int32, name: String) {
    self.init(name, level, number) {
      Int32($0 ? 1 : 0).bytes
    } decode: {
      Int32($0).map { $0 != 0 }
    }
  }
}

extension SocketOption where Value == [UInt8] {
  /// An option as the kernel's bytes, for whatever has no other form.
  public init(level: Int32, number: Int32, name: String) {
    self.init(name, level, number) {
      $0
    } decode: {
      $0
    }
  }
}

extension SocketOption where Value == Duration {
  /// An option in whole units of time; a part of one counts as a whole one.
  init(_ name: String, _ level: Int32, _ number: Int32, unit: Duration) {
    self.init(name, level, number) { value in
      let units = (value / unit).rounded(.up)
      return (0...Double(Int32.max)).contains(units) ? Int32(units).bytes : nil
    } decode: {
      Int32($0).map { unit * Int($0) }
    }
  }
}

extension Int32 {
  fileprivate var bytes: [UInt8] { unsafe withUnsafeBytes(of: self) { unsafe Array($0) } }

  /// From the kernel's form; some options are a single byte.
  fileprivate init?(_ bytes: [UInt8]) {
    switch bytes.count {
    case 1: self = Int32(bytes[0])
    case 4: self = unsafe bytes.withUnsafeBytes { unsafe $0.loadUnaligned(as: Int32.self) }
    default: return nil
    }
  }
}
