// SPDX-License-Identifier: Apache-2.0
// Descriptors that a supervisor has opened for this process: systemd's socket activation, sd_listen_fds(3).
//
// - They are the numbers from 3 on, LISTEN_FDS of them, if LISTEN_PID is this process: a child of the one that was meant
//   has the variables too, but the numbers are something else there.
// - LISTEN_FDNAMES has their names, separated by colons.
// - They come without close-on-exec, or they would not have arrived.

import CCulvert

/// Descriptors that this process was started with: listeners that a supervisor holds open over restarts.
///
/// ```swift
/// var inherited = try InheritedDescriptors.take()
/// if let descriptor = inherited.next() {
///   listener = try TcpListener(adopting: descriptor)
/// } else {
///   listener = try await TcpListener.bind("0.0.0.0:8080")
/// }
/// ```
/// Those that were not taken are closed with it.
public struct InheritedDescriptors: ~Copyable, Sendable {
  private var waiting: ArraySlice<(fd: Int32, name: String)>

  /// Takes them over, once: the variables are removed, so that no child takes them for its own, and a second call finds
  /// none. None, too, when they are meant for another process.
  ///
  /// To be called early: environ(7) must not change while another thread reads it. Throws `.malformed`, which quotes the
  /// variable, and `.badDescriptor` for one that is not open; then nothing is taken or closed. `fcntl(2)`.
  public static func take() throws(IoError) -> InheritedDescriptors { try take(from: 3) }

  /// From number `first` on.
  static func take(from first: Int32) throws(IoError) -> InheritedDescriptors {
    let values = variables.map { name in
      unsafe getenv(name).map { unsafe String(cString: $0) }
    }
    for name in variables { unsafe unsetenv(name) }
    let found = try parse(pid: values[0], count: values[1], names: values[2], process: getpid(), from: first)
    for (fd, _) in found where !culvert_is_open(fd) {
      throw IoError(.badDescriptor, during: "inherit file descriptor \(fd) of \(found.count)")
    }
    for (fd, _) in found {
      _ = try Syscalls.setCloseOnExec(fd).value(during: "make file descriptor \(fd) close-on-exec")
    }
    return InheritedDescriptors(waiting: found[...])
  }

  deinit {
    for (fd, _) in waiting { Descriptor(adopting: fd).close() }
  }

  /// The names of those that are still to be taken, in order; "unknown" where the supervisor gives none.
  public var names: [String] { waiting.map(\.name) }

  /// Takes the next one; `nil` after the last.
  public mutating func next() -> OwnedFd? { waiting.popFirst().map { OwnedFd(adopting: $0.fd) } }

  /// Takes the next one of that name; `nil` when there is none left.
  public mutating func next(named name: String) -> OwnedFd? {
    guard let index = waiting.firstIndex(where: { $0.name == name }) else { return nil }
    return OwnedFd(adopting: waiting.remove(at: index).fd)
  }

  private static let variables = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"]
  /// More than any supervisor gives, and no reason to run out of memory.
  private static let most: Int32 = 65_536

  /// What the variables say; nothing if they are not there, or meant for another process than `process`.
  static func parse(
    pid: String?, count: String?, names: String?, process: Int32, from first: Int32
  ) throws(IoError) -> [(fd: Int32, name: String)] {
    guard let pid, let count else { return [] }
    guard let pid = Int32(pid), pid > 0 else { throw malformed("LISTEN_PID", pid) }
    if pid != process { return [] }
    guard let number = Int32(count), (0...most).contains(number) else {
      throw malformed("LISTEN_FDS", count)
    }
    let given = names.map { $0.split(separator: ":", omittingEmptySubsequences: false).map(String.init) }
    if let names, given?.count != Int(number) { throw malformed("LISTEN_FDNAMES", names) }
    return (0..<number).map { (first + $0, given?[Int($0)] ?? "unknown") }
  }

  private static func malformed(_ variable: String, _ text: String) -> IoError {
    IoError(.malformed, during: "read \(variable)=\(text.debugDescription)")
  }
}
