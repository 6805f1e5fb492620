// SPDX-License-Identifier: Apache-2.0
// One connection, from greeting to goodbye: a reader and a writer that do not wait for each other.
// Shows structured concurrency on a socket: both are children of the session, and it ends when they have.

import ChatCore
public import Culvert

/// The server's side of one client.
public struct ChatSession<Stream: ByteStream>: Sendable {
  /// How long a client that has left may take to read what still waits for it.
  private static var patience: Duration { .seconds(2) }
  /// How long it may take to hang up after that. A socket that is closed while its peer still talks is reset,
  /// and what the peer has not read yet is lost.
  private static var goodbye: Duration { .milliseconds(500) }

  private let stream: Stream
  private let hub: ChatHub
  private let outbox: Outbox
  private let client: ClientId

  /// Serves one client until it has gone.
  public static func run(on stream: Stream, in hub: ChatHub) async {
    let outbox = Outbox(limit: ChatLimits.outbox)
    let client = await hub.connect(outbox)
    await ChatSession(stream: stream, hub: hub, outbox: outbox, client: client).run()
  }

  private enum Part { case reader, writer, clock }

  /// However a client goes, the hub finishes its outbox, and all waits end. A cancelled session is no
  /// exception: its reader ends, and tells the hub.
  private func run() async {
    await withTaskGroup(of: Part.self) { parts in
      parts.addTask {
        await readLines()
        return .reader
      }
      parts.addTask {
        await writeLines()
        return .writer
      }
      await outbox.finished()
      parts.addTask { await Self.clock(Self.patience) }
      var open: Set<Part> = [.reader, .writer]
      while !open.isEmpty, let ended = await parts.next(), ended != .clock {
        open.remove(ended)
        if ended == .writer { parts.addTask { await Self.clock(Self.goodbye) } }
      }
      parts.cancelAll()
    }
  }

  private static func clock(_ duration: Duration) async -> Part {
    try? await sleep(for: duration)
    return .clock
  }

  private func readLines() async {
    let lines = BufferedReader(stream, maximumLength: ChatLimits.line)
    // Cancellation ends waits, and whoever talks without a pause never makes us wait.
    while !Task.isCancelled, let event = await nextEvent(in: lines) {
      await hub.handle(event)
      await outbox.roomy()
    }
    await hub.handle(.disconnected(client))
  }

  /// What the client types next; `nil` when it is gone.
  private func nextEvent(in lines: BufferedReader<Stream>) async -> ChatEvent? {
    do throws(IoError) {
      guard let line = try await lines.readLine() else { return nil }
      return .line(line, from: client)
    } catch {
      return switch error.code {
      case .limitReached: .badLine(.tooLong, from: client)
      case .malformed: .badLine(.notUtf8, from: client)
      default: nil
      }
    }
  }

  private func writeLines() async {
    do throws(IoError) {
      while let lines = await outbox.next() { try await stream.write(lines) }
      try await stream.shutdown()
    } catch {
      await hub.handle(.disconnected(client))
    }
  }
}
