// SPDX-License-Identifier: Apache-2.0
// Answers each line with the same in capitals, on TCP. Shows a server that ends well: on Ctrl-C or SIGTERM nobody new is let in,
// idle connections end, requests that have begun to arrive are answered, and what is left after a while is cut.
// Run it with `swift run drain --port 7002`, and then `nc 127.0.0.1 7002`.

import ArgumentParser
import Culvert
import Foundation

@main
struct Drain: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "A TCP server that answers each line in capitals, and drains before it ends, on Culvert.",
    discussion: """
      Ctrl-C and SIGTERM end it: it lets no more connections in, answers the requests that have begun to arrive, and prints \
      how its connections ended. A second signal cuts those that are left. The exit code is 0 when none was cut, else 1.
      """)

  @Option(help: "The numeric address to listen on.")
  var host = "127.0.0.1"

  @Option(help: "The port to listen on; 0 picks a free one.")
  var port: UInt16 = 7002

  @Option(help: "How many threads serve the connections.")
  var workers = 1

  @Option(help: "How many connections there may be at once; more wait in the backlog.")
  var maxConnections: Int?

  @Option(help: "How many seconds connections get to finish.")
  var grace = 10.0

  func validate() throws {
    if workers < 1 { throw ValidationError("--workers must be at least 1.") }
    if maxConnections.map({ $0 < 1 }) ?? false {
      throw ValidationError("--max-connections must be at least 1.")
    }
    if !(0...1e9 ~= grace) { throw ValidationError("--grace must be from 0 to a billion seconds.") }
  }

  func run() throws {
    let (host, port, maximum, grace) = (host, Int(port), maxConnections, Duration.seconds(grace))
    let report = try Runtime.blockOn(workers: workers) { runtime in
      let signals = try await Signals.listen(to: .interrupt, .terminate)
      let listener = try await TcpListener.bind(SocketAddress(host: host, port: port))
      let server = listener.server(
        maximumConnections: maximum, grace: grace, onError: { error, _ in complain("\(error)") }, answer)
      try FileHandle.standardOutput.write(contentsOf: Data("listening on \(listener.localAddress)\n".utf8))
      return try await runtime.run(server, until: signals)
    }
    complain("\(report)")
    if report.cut > 0 { throw ExitCode(1) }
  }
}

@Sendable
private func answer(_ stream: TcpStream, _ server: Server) async throws {
  let reader = BufferedReader(stream)
  // Between two requests the end of the server is the end of the connection; within one it is not.
  while try await server.waitForRequest(on: reader), let line = try await reader.readLine() {
    try await stream.write("\(line.uppercased())\n")
  }
}

@Sendable
private func complain(_ text: String) {
  FileHandle.standardError.write(Data("drain: \(text)\n".utf8))
}
