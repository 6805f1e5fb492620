// SPDX-License-Identifier: Apache-2.0
// The floors of ARCHITECTURE.md, held against the sources: which folder may know which, and where danger lives.
import Foundation
import Testing

@Suite struct FloorPlanTests {
  /// From the ground up. A file may use the types of its own floor and of those below.
  static let floors = [
    "System", "Sockets", "Driver/Uv", "Driver", "Runtime", "Time", "Streams", "Net", "Bridges",
  ]

  /// Driver knows descriptors, not sockets; sockets know nothing of waiting. What a floor may not know though it is below.
  static let strangers: [String: Set<String>] = [
    "Driver/Uv": ["Sockets"], "Driver": ["Sockets"], "Runtime": ["Sockets", "Driver/Uv"],
    "Time": ["Sockets", "Driver/Uv"], "Streams": ["Sockets", "Driver/Uv"], "Net": ["Driver/Uv"],
    "Bridges": ["Driver/Uv"],
  ]

  struct Source: Sendable {
    let path: String
    let floor: String
    /// Without comments and string literals.
    let code: String
  }

  static let root = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

  static func sources() throws -> [Source] {
    let base = root.appendingPathComponent("Sources/Culvert")
    let files =
      FileManager.default.enumerator(at: base, includingPropertiesForKeys: nil)?.allObjects as? [URL] ?? []
    return try files.filter { $0.pathExtension == "swift" }.map { file in
      let path = String(file.standardizedFileURL.path.dropFirst(base.standardizedFileURL.path.count + 1))
      let floor = path.split(separator: "/").dropLast().joined(separator: "/")
      return Source(path: path, floor: floor, code: strip(try String(contentsOf: file, encoding: .utf8)))
    }
  }

  /// Removes comments and the text of string literals, but not what is interpolated into them.
  static func strip(_ text: String) -> String {
    text.split(separator: "\n", omittingEmptySubsequences: false).map { line in
      var line = String(line)
      line = line.replacing(#/\\\(/#, with: "\" ")  // an interpolation ends the literal for our purposes
      line = line.replacing(#/"[^"]*"/#, with: "\"\"")
      if let comment = line.range(of: "//") { line = String(line[..<comment.lowerBound]) }
      return line
    }.joined(separator: "\n")
  }

  static func declaredTypes(_ source: Source) -> [String] {
    source.code.split(separator: "\n").compactMap { line in
      // At the outermost level only: nested types are named through their owner.
      let match = line.firstMatch(
        of:
          #/^(?:@\w+ )*(?:public |package |final |fileprivate |private )*(?:class|struct|enum|protocol|actor) (\w+)/#
      )
      return match.map { String($0.output.1) }
    }
  }

  @Test func `every file is on a floor`() throws {
    let sources = try Self.sources()
    #expect(sources.count > 30)
    for source in sources { #expect(Self.floors.contains(source.floor), "\(source.path)") }
  }

  @Test func `no file names a type of a floor that it may not know`() async throws {
    let sources = try Self.sources()
    var home: [String: String] = [:]
    for source in sources { for type in Self.declaredTypes(source) { home[type] = source.floor } }
    #expect(home["BridgedFd"] == "Driver" && home["UvPoll"] == "Driver/Uv" && home["TcpStream"] == "Net")
    let homes = home
    for source in sources {
      let height = try #require(Self.floors.firstIndex(of: source.floor))
      for word in try await onThreadOfItsOwn({ Self.words(source) }) {
        guard let floor = homes[word], let other = Self.floors.firstIndex(of: floor) else { continue }
        let isStranger = Self.strangers[source.floor]?.contains(floor) ?? false
        #expect(other <= height && !isStranger, "\(source.path) knows \(word) of \(floor)")
      }
    }
  }

  private static func words(_ source: Source) -> Set<String> {
    Set(source.code.utf8.split { !isOfAWord($0) }.compactMap { String($0) })
  }

  private static func isOfAWord(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"):
      true
    default: false
    }
  }

  /// What is dangerous, and the only files that may do it.
  static let addresses: [(what: String, pattern: String, allowed: [String])] = [
    ("libuv", #"import CLibuv|\buv_\w+\("#, ["Driver/Uv/"]),
    (
      "unmanaged references", #"\bUnmanaged\b"#,
      ["Driver/Uv/", "System/Thread.swift", "System/Unretained.swift"]
    ),
    ("waits by a change of executor", #"waitInRoom\("#, ["Driver/Lobby.swift"]),
    ("continuations", #"with(Unsafe|Checked)(Throwing)?Continuation"#, ["Driver/Suspension.swift"]),
    (
      "cancellation handlers", #"withTaskCancellationHandler|culvert_add_cancellation|culvert_guard_wait"#,
      ["Driver/Parking.swift", "Driver/RegistrationInfo+Waiting.swift", "Driver/TaskOwner.swift"]
    ),
    ("errno", #"culvert_errno"#, ["System/Syscalls.swift"]),
    ("conditional compilation by platform", #"#if (os|canImport)\("#, ["System/Platform.swift"]),
    ("other packages", #"import (ServiceLifecycle|Logging|CoreMetrics)"#, ["Bridges/"]),
    ("stopping the process", #"\b(fatalError|preconditionFailure|try!)"#, []),
    ("the retry loop's clear", #"registration\.clearReadiness"#, ["Driver/BridgedFd.swift"]),
  ]

  @Test func `danger has an address`() async throws {
    let sources = try Self.sources()
    for (what, pattern, allowed) in Self.addresses {
      let paths = try await onThreadOfItsOwn {
        let regex = try Regex(pattern)
        return sources.filter { $0.code.contains(regex) }.map(\.path)
      }
      for path in paths {
        #expect(allowed.contains { path.hasPrefix($0) }, "\(what) in \(path)")
      }
      for address in allowed {
        #expect(paths.contains { $0.hasPrefix(address) }, "\(what) left \(address)")
      }
    }
  }
}
