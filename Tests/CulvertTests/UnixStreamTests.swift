// SPDX-License-Identifier: Apache-2.0
// Unix streams and listeners: their names, the files they leave or replace, a full backlog, real peers.
import CCulvert
import CulvertTesting
import Foundation
import TestTools
import Testing

@testable import Culvert

private let pathNumbers = Tally()

/// A path for a socket that nobody else uses, short enough for one.
func freshPath() -> String { "/tmp/culvert-test-\(getpid())-\(pathNumbers.add())" }

func exists(_ path: String) -> Bool { (try? FileManager.default.attributesOfItem(atPath: path)) != nil }

/// Both ends of a connection over a Unix socket.
struct UnixConnection: Sendable {
  let listener: UnixListener
  let client: UnixStream
  let server: UnixStream

  init(_ address: SocketAddress) async throws(IoError) {
    listener = try await UnixListener.bind(address)
    client = try await UnixStream.connect(to: address)
    server = try await listener.accept()
  }
}

/// Runs a program of the system's with that input, and returns what it prints. Nobody else inherits its ends.
func output(of program: String, _ arguments: [String], input: String) async throws -> String {
  let (mine, theirs) = try UnixStream.pair()
  let child = try Program([program] + arguments, input: theirs.fd, output: theirs.fd)
  theirs.close()
  try await mine.write(input)
  try mine.shutdown()
  var all: [UInt8] = []
  while let some = try await mine.read(upTo: 1000) { all += some }
  child.waitForEnd()
  return String(decoding: all, as: UTF8.self)
}

func isInstalled(_ program: String) -> Bool { FileManager.default.isExecutableFile(atPath: program) }

@Suite(.timeLimit(watchdog)) struct UnixStreamTests {
  private static let addresses: [SocketAddress] = {
    let path = try? SocketAddress.unix(path: freshPath())
    let name = try? SocketAddress.unix(abstract: "culvert-test-\(getpid())")
    return [path, Platform.hasAbstractNames ? name : nil].compactMap { $0 }
  }()

  @Test(arguments: addresses)
  func `what one end writes the other reads, and the names are right`(address: SocketAddress) async throws {
    let pair = try await UnixConnection(address)
    #expect(pair.client.peerAddress == address && pair.server.peerAddress == .unnamed)
    #expect(try pair.listener.localAddress == address && pair.client.localAddress == .unnamed)
    #expect("\(pair.listener), \(pair.client)" == "listener on \(address), connection with \(address)")
    try await pair.client.write("hello")
    try pair.client.shutdown()
    #expect(try await pair.server.readAll() == Array("hello".utf8))
    try await pair.server.write("bye")
    try pair.server.shutdown()
    #expect(try await pair.client.readAll() == Array("bye".utf8))
    await pair.listener.closed()
    // Not always at once: a process that another test starts has the listener until it executes its program.
    while await failure({ try await UnixStream.connect(to: address) }) == nil {
      try await sleep(for: .milliseconds(1))
    }
  }

  @Test func `a pair is connected with itself, and tells that this process made it`() async throws {
    let (one, other) = try UnixStream.pair()
    try await one.write("x")
    #expect(try await other.read(upTo: 2) == [UInt8(ascii: "x")])
    #expect(one.peerAddress == .unnamed)
    for end in [one, other] {
      #expect(try end.peerCredentials == PeerCredentials(uid: getuid(), gid: getgid(), pid: getpid()))
    }
    one.close()
    #expect(try await other.read(upTo: 1) == nil)
    #expect(await failure { try one.peerCredentials } == .closed)
  }

  @Test func `an address of another kind, none at all and a path that is too long are clear errors`() async {
    let tcp = SocketAddress.loopback(port: 1)
    let long = "unix:/" + String(repeating: "a", count: 200)
    #expect(await failure { try await UnixStream.connect(to: tcp) } == .unsupported)
    #expect(await failure { try await UnixListener.bind(tcp) } == .unsupported)
    let error = await thrown { try await UnixListener.bind(long) }
    #expect(error?.description == "parse address \(long.debugDescription) (path too long): malformed")
    #expect(await failure { try await UnixStream.connect(to: "unix:\(freshPath())") } == .notFound)
    #expect(await failure { try await UnixListener.bind("unix:/no/such/folder") } == .notFound)
  }

  // MARK: the file

  @Test func `the file has its mode before anybody can connect, and goes with the listener`() async throws {
    let path = freshPath()
    let listener = try await UnixListener.bind("unix:\(path)", mode: 0o640)
    let attributes = try FileManager.default.attributesOfItem(atPath: path)
    #expect(attributes[.posixPermissions] as? Int == 0o640)
    listener.close()
    #expect(!exists(path))
    do { _ = try await UnixListener.bind("unix:\(path)") }
    #expect(!exists(path))
  }

  @Test func `a socket's file that nobody listens on is replaced`() async throws {
    let path = freshPath()
    try leaveSocketFile(at: path, type: culvert_sock_stream())
    #expect(exists(path))
    let pair = try await UnixConnection(.unix(path: path))
    try await pair.client.write("x")
    #expect(try await pair.server.read(upTo: 1) == [UInt8(ascii: "x")])
    pair.listener.close()
    #expect(!exists(path))
  }

  @Test func `the file of one that listens stays, full or not`() async throws {
    let path = freshPath()
    let first = try await UnixListener.bind("unix:\(path)", backlog: 0)
    for _ in 0..<3 {  // the first of these fills the backlog
      #expect(await failure { try await UnixListener.bind("unix:\(path)") } == .addressInUse)
    }
    #expect(try await first.accept().read(upTo: 1) == nil)
    _ = try await UnixStream.connect(to: "unix:\(path)")
  }

  @Test func `what is no socket is never deleted`() async throws {
    let path = freshPath()
    defer { unsafe unlink(path) }
    try Data("precious".utf8).write(to: URL(fileURLWithPath: path))
    let error = await thrown { try await UnixListener.bind("unix:\(path)") }
    #expect(error?.code == .addressInUse)
    #expect(error?.operation == "listen on unix:\(path), where something is that is no socket")
    #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == Data("precious".utf8))
    // A link to a socket's file is no socket either.
    let target = freshPath()
    let listener = try await UnixListener.bind("unix:\(target)")
    unsafe unlink(path)
    try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: target)
    #expect(await failure { try await UnixListener.bind("unix:\(path)") } == .addressInUse)
    listener.close()
    #expect(exists(path))
  }

  @Test func `a file that has taken the place of ours is left alone`() async throws {
    let path = freshPath()
    let first = try await UnixListener.bind("unix:\(path)")
    unsafe unlink(path)
    let second = try await UnixListener.bind("unix:\(path)")
    first.close()
    #expect(exists(path))
    _ = try await UnixStream.connect(to: "unix:\(path)")
    second.close()
    #expect(!exists(path))
  }

  // MARK: a full backlog

  @Test func `hazard 26: who finds the backlog full waits, is let in later, and can be cancelled`()
    async throws
  {
    try await onOneWorker { worker in
      let address = try SocketAddress.unix(path: freshPath())
      let listener = try await UnixListener.bind(address, backlog: 0)
      let first = try await UnixStream.connect(to: address)
      let connected = Tally()
      let runtime = try #require(Runtime.current)
      let late = runtime.spawn {
        let stream = try await UnixStream.connect(to: address)
        connected.add()
        return stream
      }
      let cancelled = runtime.spawn { try await UnixStream.connect(to: address) }
      await worker.idle()
      #expect(connected.value == 0)
      cancelled.cancel()
      #expect(await failure { try await cancelled.value } == .cancelled)
      try await first.write("1")
      #expect(try await listener.accept().read(upTo: 1) == Array("1".utf8))
      let second = try await late.value
      try await second.write("2")
      #expect(try await listener.accept().read(upTo: 1) == Array("2".utf8))
    }
  }

  // MARK: real peers

  private static let netcats = [["/usr/bin/nc", "-N", "-U"], ["/usr/bin/ncat", "-U"]].filter {
    isInstalled($0[0])
  }

  @Test(arguments: netcats)
  func `a netcat is answered after its end`(netcat: [String]) async throws {
    let path = freshPath()
    let listener = try await UnixListener.bind("unix:\(path)")
    async let served: Void = listener.serve { stream in
      var all: [UInt8] = []
      while let some = try await stream.read(upTo: 100) { all += some }
      try await stream.write(all.reversed())
    }
    #expect(try await output(of: netcat[0], netcat[1...] + [path], input: "abc") == "cba")
    listener.close()
    try await served
  }

  @Test(.enabled(if: isInstalled("/usr/bin/socat") && Platform.hasAbstractNames, "there is no socat here"))
  func `socat reaches an abstract name, and is who it is`() async throws {
    let name = "culvert-socat-\(getpid())"
    let listener = try await UnixListener.bind("unix:@\(name)")
    async let served: Void = listener.serve { stream in
      let peer = try stream.peerCredentials
      #expect(peer.uid == getuid() && peer.pid != getpid())
      while let some = try await stream.read(upTo: 100) { try await stream.write(some) }
    }
    let arguments = ["-t", "600", "-", "ABSTRACT-CONNECT:\(name)"]
    #expect(try await output(of: "/usr/bin/socat", arguments, input: "abc") == "abc")
    listener.close()
    try await served
  }

  // MARK: faults

  #if FaultInjection
    @Test func `a full backlog is tried again, and another fault is not`() async throws {
      let address = try SocketAddress.unix(path: freshPath())
      let listener = try await UnixListener.bind(address)
      let script = FaultScript()
      script.add(.fail(EAGAIN), to: [.connect], times: 3)
      _ = try await script.run { try await UnixStream.connect(to: address) }
      #expect(script.injected[.connect] == 3)
      script.add(.fail(EACCES), to: [.connect])
      #expect(
        await failure { try await script.run { try await UnixStream.connect(to: address) } }
          == .permissionDenied)
      listener.close()
    }

    @Test(arguments: [FaultScript.Call.chmod, .listen])
    func `a listener that fails half-way leaves no file`(call: FaultScript.Call) async throws {
      let path = freshPath()
      let script = FaultScript()
      script.add(.fail(EPERM), to: [call])
      let code = await failure {
        try await script.run { try await UnixListener.bind("unix:\(path)", mode: 0o600) }
      }
      #expect(code == .permissionDenied && !exists(path))
    }

    @Test(arguments: [FaultScript.Call.lstat, .unlink, .socket])
    func `a stale file that can't be looked at or deleted is an address in use`(call: FaultScript.Call)
      async throws
    {
      let path = freshPath()
      defer { unsafe unlink(path) }
      try leaveSocketFile(at: path, type: culvert_sock_stream())
      let script = FaultScript()
      script.add(.fail(EPERM), to: [call], after: call == .socket ? 1 : 0)
      let code = await failure { try await script.run { try await UnixListener.bind("unix:\(path)") } }
      #expect(code == (call == .socket ? .permissionDenied : .addressInUse) && exists(path))
    }
  #endif
}
