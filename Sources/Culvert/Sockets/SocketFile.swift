// SPDX-License-Identifier: Apache-2.0
// The file that a Unix socket is reached by: made by bind(2), and left behind by whoever ends without unlink(2).
//
// Some facts about Unix socket files
// - bind(2) makes the file and fails with EADDRINUSE if there is any, also one that nobody listens on any more.
// - connect(2) to a socket's file that no socket belongs to is ECONNREFUSED. So it is between bind and listen, and there
//   is no call that asks and unlinks in one: two processes that replace one stale file at the same moment can meet.
// - A bound socket holds its inode, so while it is open no other file has the same number.
// - Anybody who may write to the file may connect (Linux; Darwin asks the folder too).

import CCulvert

/// A socket's file, by its path and its inode.
struct SocketFile: Sendable {
  private let path: [UInt8]
  private let device, inode: UInt64

  private init?(at path: [UInt8]) {
    var file = culvert_file()
    guard !Syscalls.file(at: path, &file).failed, file.is_socket else { return nil }
    self.path = path
    (device, inode) = (file.device, file.inode)
  }

  /// Gives a socket its address, in place of a file that a socket which is gone has left there. Returns the new file, if
  /// the address has one.
  static func bind(
    _ fd: Int32, to address: SocketAddress, mode: UInt32?, during operation: String
  ) throws(IoError) -> SocketFile? {
    do throws(IoError) {
      try Socket.bind(fd, to: address, during: operation)
    } catch {
      guard error.code == .addressInUse, let path = address.path else { throw error }
      guard let stale = SocketFile(at: path) else {
        throw IoError(errno: error.errno, during: operation + ", where something is that is no socket")
      }
      guard try stale.isAbandoned(address, during: operation), stale.remove() else { throw error }
      try Socket.bind(fd, to: address, during: operation)
    }
    guard let path = address.path else { return nil }
    let file = SocketFile(at: path)
    if let mode {
      do throws(IoError) {
        _ = try Syscalls.setMode(path, mode).value(during: operation + ": set its mode")
      } catch {
        file?.remove()
        throw error
      }
    }
    return file
  }

  /// Deletes the file if it is still this one; says whether it is gone by that.
  @discardableResult
  func remove() -> Bool {
    guard let now = SocketFile(at: path), now.device == device, now.inode == inode else { return false }
    return !Syscalls.unlink(path).failed
  }

  /// Whether no socket belongs to it. One whose backlog is full answers EAGAIN, one of another type EPROTOTYPE.
  private func isAbandoned(_ address: SocketAddress, during operation: String) throws(IoError) -> Bool {
    let probe = Descriptor(adopting: try Socket.stream(for: .unix, during: operation))
    defer { probe.close() }
    var result: SysResult
    repeat {
      // Unlike TCP's, such an attempt does not go on in the background: after a signal it is asked again.
      result = try unsafe address.withSockaddr { (raw, length) throws(IoError) in
        unsafe Syscalls.connect(probe.number, raw, length)
      }
    } while result.errno == EINTR
    return result.errno == ECONNREFUSED
  }
}

extension SocketAddress {
  /// The path in the file system, for an address that has one.
  fileprivate var path: [UInt8]? {
    guard case .unix(let path) = storage, let first = path.first, first != 0 else { return nil }
    return path
  }
}
