// SPDX-License-Identifier: Apache-2.0
// The command line: host a chat and take part in it, only host it, or only take part.
// Run it with `swift run chat`, and then `nc 127.0.0.1 7777` from other terminals.

import ArgumentParser
import Culvert
import CulvertTLS

@main
struct Chat: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "chat",
    abstract: "A chat for terminals, on Culvert.",
    discussion: """
      Without a subcommand it hosts a chat on 127.0.0.1:7777 and joins it from this terminal; \
      'chat help host' tells more. What goes over the wire is lines of UTF-8, so 'nc 127.0.0.1 7777' is a \
      client, too: the first line is your name.
      """,
    subcommands: [Host.self, Serve.self, Join.self],
    defaultSubcommand: Host.self)
}

/// Where to serve, and how many.
struct ServerOptions: ParsableArguments {
  @Option(help: "The numeric address to listen on.")
  var host = "127.0.0.1"

  @Option(help: "The port to listen on; 0 picks a free one.")
  var port: UInt16 = 7777

  @Option(help: "How many threads serve the clients.")
  var workers = 1

  @Option(help: "How many clients may be connected at a time.")
  var maxClients = 256

  func validate() throws {
    if workers < 1 { throw ValidationError("--workers must be at least 1.") }
    if maxClients < 1 { throw ValidationError("--max-clients must be at least 1.") }
  }
}

struct Host: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Host a chat and join it from here (default).",
    discussion: """
      /quit, Ctrl-C and SIGTERM end the server, and so does Ctrl-D on a terminal. When standard input is a \
      file, a pipe or /dev/null, its end ends only your own part: the server goes on until Ctrl-C or SIGTERM.
      """)

  @OptionGroup var server: ServerOptions

  @Option(help: "Your name; without it the first line that you type is your name.")
  var name: String?

  func run() throws {
    let name = name
    try serve(server) { server in try await Guest.stay(in: server, as: name) }
  }
}

struct Serve: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Host a chat, without joining it.",
    discussion: "Ctrl-C and SIGTERM end it: everybody is told. Standard input is not read.")

  @OptionGroup var server: ServerOptions

  @Option(
    name: .customLong("tls"), parsing: .upToNextOption,
    help: ArgumentHelp(
      "Speak TLS only, with this certificate and key in PEM.", valueName: "cert.pem key.pem"))
  var tlsFiles: [String] = []

  /// What the server shows; `nil` without TLS.
  private func context() throws(IoError) -> TlsContext? {
    if tlsFiles.isEmpty { return nil }
    var configuration = TlsConfiguration()
    configuration.identity = try TlsIdentity(certificateFile: tlsFiles[0], keyFile: tlsFiles[1])
    return try TlsContext(server: configuration)
  }

  func validate() throws {
    if ![0, 2].contains(tlsFiles.count) { throw ValidationError("--tls needs a certificate and a key.") }
  }

  func run() throws {
    try serve(server, tls: context())
  }
}

struct Join: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Join a chat.",
    discussion: """
      Standard input may be a terminal, a pipe or a file. Its end (Ctrl-D on a terminal) means that you \
      leave: what you typed is sent, what the server still has for you is shown, and then it closes the \
      connection.
      """)

  @Argument(help: ArgumentHelp("The server.", valueName: "host:port"))
  var server: String

  @Option(help: "Your name; without it the first line that you type is your name.")
  var name: String?

  @Flag(help: "Speak TLS: the server must prove that it is that host.")
  var tls = false

  @Option(help: ArgumentHelp("Trust these certificates, and not the system's.", valueName: "roots.pem"))
  var trust: String?

  func run() throws {
    let (server, name) = (server, name)
    let tls = try tls ? trust.map(TlsContext.trusting) ?? TlsContext(client: TlsConfiguration()) : nil
    try Runtime.blockOn { _ in
      _ = try await takePart(at: server, tls: tls, as: name, typing: StandardInput.open())
    }
  }

  func validate() throws {
    if trust != nil && !tls { throw ValidationError("--trust goes with --tls.") }
  }
}

extension TlsContext {
  /// A client's that trusts the certificates of a file.
  fileprivate static func trusting(_ file: String) throws(IoError) -> TlsContext {
    var configuration = TlsConfiguration()
    configuration.trust = .roots(try TlsRoots(file: file))
    return try TlsContext(client: configuration)
  }
}
