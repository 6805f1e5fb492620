// SPDX-License-Identifier: Apache-2.0
// Prints what happens in a folder, a line for each event. Shows how to wait for a descriptor that Culvert knows nothing
// about: inotify's, with one closure around read(2). Linux.
// Run it with `swift run watch /tmp`, and then `touch /tmp/new` in another terminal. Ctrl-C ends it.

#if os(Linux)
  import ArgumentParser
  import Culvert
  import Foundation

  @main
  struct Watch: ParsableCommand {
    @Argument(help: "The folder to watch.") var folder: String

    func run() throws {
      let folder = folder
      try Runtime.blockOn(workers: 1) { _ in
        let signals = try await Signals.listen(to: .interrupt, .terminate)
        let events = try BridgedFd(adopting: inotify_init1(Int32(IN_CLOEXEC)))
        let mask = IN_CREATE | IN_DELETE | IN_CLOSE_WRITE | IN_MOVED_FROM | IN_MOVED_TO
        guard unsafe inotify_add_watch(events.fd, folder, UInt32(mask)) >= 0 else {
          throw ValidationError("can't watch \(folder): \(unsafe String(cString: strerror(errno)))")
        }
        write("watching \(folder)")
        try await withThrowingTaskGroup(of: Void.self) { tasks in
          tasks.addTask { while true { show(try await read(events)) } }
          tasks.addTask { for await _ in signals { return } }
          try await tasks.next()
          tasks.cancelAll()
        }
      }
    }
  }

  /// The next events, as many as there are, in the kernel's form.
  private func read(_ events: BridgedFd) async throws(IoError) -> [UInt8] {
    var buffer = [UInt8](repeating: 0, count: 4096)
    let count = try await events.asyncCall(.readable) { fd in
      let count = unsafe Glibc.read(fd, &buffer, buffer.count)
      return count > 0 ? count : nil  // nil: there is none yet, wait
    }
    return Array(buffer[..<count])
  }

  /// "inotify_event": four numbers of four bytes, watch, mask, cookie and the length of the name; then the name.
  private func show(_ bytes: [UInt8]) {
    let names = [
      IN_CREATE: "created", IN_DELETE: "deleted", IN_CLOSE_WRITE: "written", IN_MOVED_FROM: "left",
    ]
    var at = 0
    while at < bytes.count {
      let number = { (offset: Int) in
        unsafe bytes.withUnsafeBytes { unsafe $0.loadUnaligned(fromByteOffset: offset, as: UInt32.self) }
      }
      let (mask, length) = (Int32(bitPattern: number(at + 4) & 0xFFF), Int(number(at + 12)))
      let name = String(decoding: bytes[(at + 16)..<(at + 16 + length)].prefix { $0 != 0 }, as: UTF8.self)
      write("\(names[mask] ?? "came") \(name)")
      at += 16 + length
    }
  }

  private func write(_ line: String) { FileHandle.standardOutput.write(Data((line + "\n").utf8)) }
#else
  @main struct Watch { static func main() { print("inotify is Linux's") } }
#endif
