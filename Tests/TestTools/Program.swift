// SPDX-License-Identifier: Apache-2.0
// Other programs, run beside the tests.
//
// Each is waited for from its start, on a thread of its own. Swift Testing waits for any child of the process, and takes
// only its own: one that has ended and that nobody has waited for has it spin, and that is a core less for all other tests
// until the one that started it gets its turn.
//
// (Foundation's Process reads beyond a directory entry while it looks for open descriptors, which stops a run under the
// address sanitizer.)
import Foundation

/// A running program. Safe from any thread.
public final class Program: @unchecked Sendable {
  private let process: pid_t
  private let condition = NSCondition()
  /// What it ended with. Under `condition`.
  private var status: Int32?

  /// Starts `command` with the ends given as its standard input, output and errors; those stay this process's, too.
  public init(_ command: [String], input: Int32, output: Int32, errors: Int32 = 2) throws {
    var actions = unsafe posix_spawn_file_actions_t()
    unsafe posix_spawn_file_actions_init(&actions)
    defer { unsafe posix_spawn_file_actions_destroy(&actions) }
    for (number, end) in [input, output, errors].enumerated() {
      unsafe posix_spawn_file_actions_adddup2(&actions, end, Int32(number))
    }
    var arguments = unsafe command.map { unsafe strdup($0) } + [nil]
    defer { for index in unsafe arguments.indices { unsafe free(arguments[index]) } }
    var process: pid_t = 0
    let code = unsafe posix_spawnp(&process, command[0], &actions, nil, &arguments, environ)
    if code != 0 { throw POSIXError(POSIXErrorCode(rawValue: code) ?? .ENOEXEC) }
    self.process = process
    Thread.detachNewThread { self.waitAsItsParent() }
  }

  /// The number is the program's until it was waited for, and nobody ends it in between.
  private func waitAsItsParent() {
    var information = unsafe siginfo_t()
    while unsafe waitid(P_PID, id_t(process), &information, WEXITED | WNOWAIT) < 0, errno == EINTR {}
    condition.withLock {
      var status: Int32 = 0
      while unsafe waitpid(process, &status, 0) < 0, errno == EINTR {}
      self.status = status
      condition.broadcast()
    }
  }

  /// Ends it, if it has not ended, at once. (A signal that it could handle may be held back: a program that is started on
  /// one of the pool's threads has its signal mask.)
  public func end() {
    condition.withLock {
      if status == nil { kill(process, SIGKILL) }
    }
    waitForEnd()
  }

  /// Waits for the end of a program that is about to end, and returns what `waitpid` says of it. Blocks the thread.
  @discardableResult
  public func waitForEnd() -> Int32 {
    condition.withLock {
      while true {
        if let status { return status }
        condition.wait()
      }
    }
  }
}
