// SPDX-License-Identifier: Apache-2.0
// The one public error. It says what was being done to what, and never that something would block.

import CCulvert

/// What went wrong, and what was being done to what when it did.
///
/// End of stream is a value (0 or `nil`), not an error, and closing twice is none either.
///
/// ```swift
/// do throws(IoError) {
///   _ = try await TcpStream.connect(to: address)
/// } catch {
///   if error.code == .connectionRefused { print(error) }  // connect to 127.0.0.1:1: connection refused
/// }
/// ```
public struct IoError: Error, Sendable, Hashable {
  /// Behind one reference: what a function may throw takes room in the frame of each that calls it, and nearly never is thrown.
  private let contents: Contents

  private final class Contents: Sendable {
    let code: Code
    let errno: Int32
    let operation: String
    let detail: String
    let bytesWritten: Int

    init(_ code: Code, _ errno: Int32, _ operation: String, _ detail: String = "", bytesWritten: Int = 0) {
      self.code = code
      self.errno = errno
      self.operation = operation
      self.detail = detail
      self.bytesWritten = bytesWritten
    }
  }

  /// The kind of failure: compare it with the constants, new ones may be added.
  public var code: Code { contents.code }
  /// The system's number for it, or 0 where no system call failed.
  public var errno: Int32 { contents.errno }
  /// What was being done to what, such as "connect to 127.0.0.1:1".
  public var operation: String { contents.operation }
  /// More about the reason, in the words of the library that told it, such as a check of a certificate; mostly empty.
  public var detail: String { contents.detail }
  /// How many bytes of a failed write the kernel had taken; 0 for everything that is not a write.
  public var bytesWritten: Int { contents.bytesWritten }

  private init(_ contents: Contents) { self.contents = contents }

  /// A failure that no system call told of, during `operation`, such as "read from the modem".
  public init(_ code: Code, during operation: String) {
    self.init(Contents(code, 0, operation))
  }

  /// A failed system call's `errno`, for what is called within `asyncCall`:
  ///
  /// ```swift
  /// let count = try await modem.asyncCall(.readable) { (fd) throws(IoError) -> Int? in
  ///   let count = modem_read(fd, buffer)
  ///   if count >= 0 { return count }
  ///   if errno == EAGAIN { return nil }
  ///   throw IoError(errno: errno, during: "read from the modem")
  /// }
  /// ```
  public init(errno: Int32, during operation: String) {
    self.init(Contents(Code(errno: errno), errno, operation))
  }

  /// Equal errors tell the same.
  public static func == (one: IoError, other: IoError) -> Bool {
    one.code == other.code && one.errno == other.errno && one.operation == other.operation
      && one.detail == other.detail && one.bytesWritten == other.bytesWritten
  }

  /// Hashes all that it tells.
  public func hash(into hasher: inout Hasher) {
    hasher.combine(code)
    hasher.combine(errno)
    hasher.combine(operation)
    hasher.combine(detail)
    hasher.combine(bytesWritten)
  }
}

extension IoError {
  /// An error that tells more of its reason.
  package init(_ code: Code, _ detail: String, during operation: String) {
    self.init(Contents(code, 0, operation, detail))
  }

  /// The same failure, of a write of which the kernel had taken that many bytes.
  package func after(_ bytesWritten: Int) -> IoError {
    IoError(Contents(code, errno, operation, detail, bytesWritten: bytesWritten))
  }

  /// The same failure, as that of something greater.
  func of(_ operation: String) -> IoError {
    errno == 0 ? IoError(code, during: operation) : IoError(errno: errno, during: operation)
  }
}

extension IoError: CustomStringConvertible {
  /// One line: the operation, then the reason in words, then what more is known of it.
  public var description: String {
    let reason = code == .other ? unsafe String(cString: culvert_error_text(errno)) : code.description
    let progress = bytesWritten == 0 ? "" : " after \(bytesWritten) bytes"
    return "\(operation): \(reason)\(detail.isEmpty ? "" : ": ")\(detail)\(progress)"
  }
}

extension IoError {
  /// The kinds of failure. An open set: code that switches over it needs a default.
  public struct Code: Sendable, Hashable, CustomStringConvertible {
    private let text: StaticString
    private let id: UInt8

    /// The kind in words, such as "connection refused".
    public var description: String { text.description }
    /// Two codes are equal when they name the same kind.
    public static func == (a: Code, b: Code) -> Bool { a.id == b.id }
    /// Hashes the kind.
    public func hash(into hasher: inout Hasher) { hasher.combine(id) }

    /// A kind that another product of this package adds; those of CulvertTLS are 60 and up.
    package init(_ id: UInt8, _ text: StaticString) {
      self.id = id
      self.text = text
    }

    // Decided by this library.

    /// You closed it.
    public static let closed = Code(1, "closed")
    /// The task was cancelled.
    public static let cancelled = Code(2, "the task was cancelled")
    /// A timeout or deadline ran out, here or in the kernel.
    public static let timedOut = Code(3, "timed out")
    /// The runtime, or the worker that this socket lives on, has ended.
    public static let shutDown = Code(4, "the runtime has ended")
    /// A limit of this library is full.
    public static let limitReached = Code(5, "limit reached")
    /// The file descriptor already has a registration.
    public static let alreadyRegistered = Code(6, "file descriptor already registered")
    /// The platform, the kernel or this kind of descriptor has no such thing.
    public static let unsupported = Code(7, "not supported")
    /// Text or bytes that do not mean what they should; the operation quotes them.
    public static let malformed = Code(8, "malformed")
    /// A value out of its range.
    public static let invalidArgument = Code(9, "invalid argument")
    /// The stream ended where more had to come.
    public static let unexpectedEnd = Code(10, "the stream has ended")

    // Decided by the world.

    /// Nobody listens there.
    public static let connectionRefused = Code(20, "connection refused")
    /// The peer cut the connection.
    public static let connectionReset = Code(21, "connection reset by peer")
    /// The peer no longer reads.
    public static let brokenPipe = Code(22, "broken pipe")
    /// The connection ended before it was accepted.
    public static let connectionAborted = Code(23, "connection aborted")
    /// Somebody else has that address.
    public static let addressInUse = Code(24, "address in use")
    /// This machine has no such address.
    public static let addressNotAvailable = Code(25, "address not available")
    /// No route to that host or network.
    public static let unreachable = Code(26, "unreachable")
    /// The network interface is down.
    public static let networkDown = Code(27, "network is down")
    /// Not connected, or no longer.
    public static let notConnected = Code(28, "not connected")
    /// The process or the system has no file descriptor left.
    public static let tooManyDescriptors = Code(29, "too many open file descriptors")
    /// The kernel has no memory or buffer for it.
    public static let outOfMemory = Code(30, "out of memory")
    /// The system does not allow it.
    public static let permissionDenied = Code(31, "permission denied")
    /// No such file or object.
    public static let notFound = Code(32, "not found")
    /// Not an open file descriptor.
    public static let badDescriptor = Code(33, "not an open file descriptor")
    /// Too long for one message.
    public static let messageTooLong = Code(34, "message too long")
    /// No host has that name, or it has no address of the kind that was asked for.
    public static let hostNotFound = Code(35, "host not found")
    /// The name servers could not be asked, or did not know. It may work later.
    public static let lookupFailed = Code(36, "the lookup failed")
    /// Anything else: `errno` tells.
    public static let other = Code(99, "system error")

    init(errno: Int32) {
      self =
        switch errno {
        case ECONNREFUSED: .connectionRefused
        case ECONNRESET: .connectionReset
        case EPIPE: .brokenPipe
        case ECONNABORTED: .connectionAborted
        case EADDRINUSE: .addressInUse
        case EADDRNOTAVAIL: .addressNotAvailable
        case ENETUNREACH, EHOSTUNREACH, EHOSTDOWN: .unreachable
        case ENETDOWN: .networkDown
        case ENOTCONN, EDESTADDRREQ: .notConnected
        case EMFILE, ENFILE, ETOOMANYREFS: .tooManyDescriptors
        case ENOMEM, ENOBUFS: .outOfMemory
        case EACCES, EPERM: .permissionDenied
        case ENOENT: .notFound
        case EBADF: .badDescriptor
        case EMSGSIZE: .messageTooLong
        case ETIMEDOUT: .timedOut
        case EINVAL, ENAMETOOLONG, EDOM: .invalidArgument
        case EAFNOSUPPORT, EPROTONOSUPPORT, EOPNOTSUPP, ENOTSUP, ENOSYS, ENOPROTOOPT, ENOTSOCK: .unsupported
        default: .other
        }
    }
  }
}
