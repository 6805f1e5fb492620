// SPDX-License-Identifier: Apache-2.0
// Two processes: one opens a file and gives it away over a Unix socket, the other reads what it could not open itself.
// Run `swift run pass-fd give /tmp/give.sock /etc/hostname`, and then, in another terminal, `swift run pass-fd take
// /tmp/give.sock`.

import ArgumentParser
import Culvert
import Foundation

@main
struct PassFd: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "pass-fd", abstract: "Gives open files to other processes, on Culvert.",
    subcommands: [Give.self, Take.self])
}

struct Give: ParsableCommand {
  @Argument(help: "Where to listen.") var socket: String
  @Argument(help: "The file to give to everybody who connects.") var file: String

  func run() throws {
    let (socket, file) = (socket, file)
    try Runtime.blockOn { _ in
      // Nobody but this user may connect.
      let listener = try await UnixListener.bind(.unix(path: socket), mode: 0o600)
      try await listener.serve { stream in
        print("giving \(file) to process \(try stream.peerCredentials.pid ?? 0)")
        guard let handle = FileHandle(forReadingAtPath: file) else { return }
        try await stream.send(Array(file.utf8), descriptors: [handle.fileDescriptor])
      }
    }
  }
}

struct Take: ParsableCommand {
  @Argument(help: "Where the giver listens.") var socket: String

  func run() throws {
    let socket = socket
    try Runtime.blockOn { _ in
      let stream = try await UnixStream.connect(to: .unix(path: socket))
      guard var message = try await stream.receive(upTo: 4096), let file = message.nextDescriptor() else {
        return print("got nothing")
      }
      let name = String(decoding: message.bytes, as: UTF8.self)
      FileHandle.standardOutput.write(Data("got \(name):\n".utf8))
      let handle = FileHandle(fileDescriptor: file.take(), closeOnDealloc: true)
      FileHandle.standardOutput.write(handle.readDataToEndOfFile())
    }
  }
}
