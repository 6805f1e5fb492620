// SPDX-License-Identifier: Apache-2.0
// PostgreSQL's LISTEN and NOTIFY through libpq, whose socket waits on a Culvert worker.
// Run it with `make listen-notify`, which starts a server of its own for it.

import ArgumentParser
import Culvert
import Foundation

@main
struct ListenNotify: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "listen-notify", abstract: "Hears what is told to a channel of PostgreSQL.",
    discussion: """
      With --count it tells itself so many things over a second connection, and says whether all came, in order. Without, it prints \
      what comes, and when the server is gone it says so and connects again, until Ctrl-C or SIGTERM.
      """)

  @Option(help: "How to reach the server, as libpq takes it; PGHOST and its like are read, too.")
  var database = ""

  @Option(help: "The channel.")
  var channel = "culvert"

  @Option(help: "How many things to tell itself.")
  var count: Int?

  func validate() throws {
    if let count, count < 1 { throw ValidationError("--count must be at least 1.") }
  }

  func run() throws {
    let options = self
    try Runtime.blockOn(workers: 1) { _ in
      if let count = options.count { return try await options.tellItself(count) }
      try await options.listenUntilSignal()
    }
  }

  // MARK: with --count

  private func tellItself(_ count: Int) async throws {
    let listener = try await listen()
    let start = ContinuousClock.now
    async let told: Void = tell(count)
    for number in 1...count {
      let heard = try await listener.notification()
      guard heard.payload == "\(number)" else {
        throw CleanExit.message("heard \(heard.payload) where \(number) was next")
      }
    }
    try await told
    Self.say("\(count) notifications in order, in \(ContinuousClock.now - start)")
  }

  private func tell(_ count: Int) async throws {
    let teller = try await Postgres(database)
    for number in 1...count { try await teller.query("SELECT pg_notify($1, $2)", [channel, "\(number)"]) }
  }

  // MARK: without

  private func listenUntilSignal() async throws {
    let signals = try await Signals.listen(to: .interrupt, .terminate)
    try await withThrowingTaskGroup(of: Void.self) { parts in
      parts.addTask { try await listenForEver() }
      parts.addTask { for await _ in signals { break } }
      try await parts.next()
      parts.cancelAll()
    }
  }

  private func listenForEver() async throws {
    var pause = Duration.milliseconds(100)
    while true {
      do {
        let listener = try await listen()
        pause = .milliseconds(100)
        while true {
          let heard = try await listener.notification()
          Self.say("heard \(heard.payload)")
        }
      } catch let error as PostgresError {
        Self.say("! \(error); again in \(pause)")
      }
      try await sleep(for: pause)
      pause = min(pause * 2, .seconds(5))
    }
  }

  private func listen() async throws -> Postgres {
    let listener = try await Postgres(database)
    try await listener.query("LISTEN \"\(channel.replacing("\"", with: "\"\""))\"")
    let version = try await listener.query("SHOW server_version").first?.first ?? nil
    Self.say("listening to \(channel) at PostgreSQL \(version ?? "of no version")")
    return listener
  }

  private static func say(_ line: String) {
    try? FileHandle.standardOutput.write(contentsOf: Data("\(line)\n".utf8))
  }
}
