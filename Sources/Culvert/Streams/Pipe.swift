// SPDX-License-Identifier: Apache-2.0
// Pipes: bytes one way, to another process or from one.

/// The end of a pipe that is read from.
///
/// Safe to use from any thread and from several tasks at once. Dropping the last reference closes it.
public final class PipeReader: BridgedFd, ByteReader, @unchecked Sendable {
  private let name: String

  /// A new pipe: what is written at one end is read at the other. `pipe2(2)`.
  ///
  /// ```swift
  /// let (reader, writer) = try PipeReader.pair()
  /// ```
  /// Throws `.tooManyDescriptors`.
  public static func pair() throws(IoError) -> (reader: PipeReader, writer: PipeWriter) {
    var ends: (reader: Int32, writer: Int32) = (-1, -1)
    _ = try Syscalls.pipe(&ends).value(during: "make a pipe")
    let writer = OwnedFd(adopting: ends.writer)
    let reader = PipeReader(try AsyncRegistration(owning: ends.reader))
    return (reader, try PipeWriter(adopting: writer))
  }

  /// Takes over the end of a pipe, or whatever else `read(2)` waits for; closes it if this throws. It is made non-blocking.
  ///
  /// Throws `.badDescriptor`, `.alreadyRegistered`; a file can't be waited for: its reads throw `.unsupported`, if they have to wait.
  public convenience init(adopting descriptor: consuming OwnedFd) throws(IoError) {
    self.init(try AsyncRegistration(adopting: descriptor))
  }

  init(_ registration: consuming AsyncRegistration, name: String = "pipe") {
    self.name = name
    super.init(registration)
  }

  /// Appends what is there to `buffer`, once something is; returns how many bytes, 0 when nobody can write any more.
  ///
  /// Throws `.closed`, `.cancelled`, `.shutDown`; nothing that was read is lost by cancellation. `read(2)`.
  public func read(into buffer: inout OutputRawSpan) async throws(IoError) -> Int {
    let room = buffer.freeCapacity
    if room == 0 { return 0 }
    return try await call(.readable, during: "read \(self)") { (fd) throws(IoError) in
      try buffer.appendNow(from: fd, during: "read \(self)")
    }
  }

  /// "pipe", or what else it is.
  public override var description: String { name }
}

/// The end of a pipe that is written to.
///
/// Safe to use from any thread and from several tasks at once: writes are whole, and never interleaved. Dropping the last
/// reference closes it.
public final class PipeWriter: BridgedFd, ByteWriter, @unchecked Sendable {
  private let writeTurn = WriteTurn()

  /// Takes over the end of a pipe, or whatever else `write(2)` waits for; closes it if this throws. It is made non-blocking.
  ///
  /// Throws `.badDescriptor`, `.alreadyRegistered`; a file can't be waited for: its writes throw `.unsupported`, if they have to wait.
  public init(adopting descriptor: consuming OwnedFd) throws(IoError) {
    super.init(try AsyncRegistration(adopting: descriptor))
  }

  /// Writes all of `bytes`; waits while the pipe is full.
  ///
  /// Throws `.brokenPipe` when nobody can read it any more, `.closed`, `.cancelled`, `.shutDown`; the error's
  /// `bytesWritten` says how many went out before. `write(2)`; never raises SIGPIPE, at the price of three more system calls.
  public func write(_ bytes: RawSpan) async throws(IoError) {
    try await writeTurn.take(during: "write to \(self)")
    defer { writeTurn.give() }
    if bytes.byteCount == 0 { return try use(during: "write to \(self)") { _ in } }
    var sent = 0
    do throws(IoError) {
      while sent < bytes.byteCount {
        sent += try await call(.writable, during: "write to \(self)") { (fd) throws(IoError) in
          try unsafe bytes.withUnsafeBytes { (all) throws(IoError) in
            let rest = unsafe UnsafeRawBufferPointer(rebasing: all[sent...])
            return try unsafe Syscalls.write(fd, rest).valueUnlessBlocked(during: "write to \(self)")
          }
        }
      }
    } catch {
      throw error.after(sent)
    }
  }

  /// Closes, which is how a pipe ends: who reads finds the end behind what was written. Throws `.closed`.
  public func shutdown() throws(IoError) {
    try use(during: "shut down \(self)") { _ in }
    close()
  }

  /// "pipe".
  public override var description: String { "pipe" }
}

extension OutputRawSpan {
  /// Reads what is there behind what it has; 0 at the end, `nil` when there is nothing yet. `read(2)`.
  mutating func appendNow(from fd: Int32, during operation: @autoclosure () -> String) throws(IoError) -> Int?
  {
    try unsafe withUnsafeMutableBytes { (bytes, used) throws(IoError) -> Int? in
      let free = unsafe UnsafeMutableRawBufferPointer(rebasing: bytes[used...])
      let count = try unsafe Syscalls.read(fd, into: free).valueUnlessBlocked(during: operation())
      used += count ?? 0
      return count
    }
  }
}
