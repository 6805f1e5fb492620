// SPDX-License-Identifier: Apache-2.0
// Faults on purpose, for users' tests. With the trait FaultInjection only: without it nothing of this is compiled, and a
// release build pays nothing.
#if FaultInjection
  import Culvert

  /// What the kernel answers to the calls of one task, and of all that it starts: anything that it might, on demand.
  ///
  /// ```swift
  /// let script = FaultScript(seed: 7)
  /// script.add(.fail(ECONNRESET), to: [.receive], times: 1)
  /// try await script.run {
  ///   await #expect(throws: IoError.self) { try await client.ask("?") }
  /// }
  /// #expect(script.injected[.receive] == 1)
  /// ```
  /// Enabled by the package trait `FaultInjection`, as in `.package(url: …, traits: ["FaultInjection"])`.
  /// Safe to use from any thread.
  public struct FaultScript: Sendable {
    /// A system call, or a call of libuv's, that can be made to fail.
    public struct Call: Hashable, Sendable {
      fileprivate let name: SystemCall
    }

    /// What goes wrong.
    public struct Fault: Sendable {
      fileprivate let kind: Faults.Fault

      /// The call is not made, and reports this error number.
      public static func fail(_ errno: Int32) -> Fault { Fault(kind: .fail(errno)) }
      /// The call is made, and reports this error number all the same: what a signal does to connect(2) and close(2).
      public static func failAfterwards(_ errno: Int32) -> Fault { Fault(kind: .failAfterwards(errno)) }
      /// The call may transfer that many bytes.
      public static func atMost(_ count: Int) -> Fault { Fault(kind: .atMost(count)) }
    }

    private let script: Faults.Script

    /// A script without faults. The same seed makes the same choices.
    public init(seed: UInt64 = 1) {
      script = Faults.Script(seed: seed)
    }

    /// Lets `fault` happen to `calls`, but for the first `after` of them: `times` times, or always; by `chance` only.
    public func add(
      _ fault: Fault, to calls: Set<Call>, times: Int? = nil, after: Int = 0, chance: Double = 1
    ) {
      script.add(fault.kind, to: Set(calls.map(\.name)), times: times, after: after, chance: chance)
    }

    /// How often each call got a fault so far.
    public var injected: [Call: Int] {
      Dictionary(uniqueKeysWithValues: script.injected.map { (Call(name: $0.key), $0.value) })
    }

    /// Runs `body` under this script, in the calling task. Tasks started in there are under it too; no other script is.
    public func run<R>(_ body: () async throws -> R) async rethrows -> R {
      try await Faults.$script.withValue(script, operation: body)
    }
  }

  extension FaultScript.Call: CaseIterable, CustomStringConvertible {
    /// Every call that can be made to fail.
    public static var allCases: [Self] { SystemCall.allCases.map { Self(name: $0) } }
    /// The call's name.
    public var description: String { name.rawValue }
    /// Whether it is a call of libuv's.
    public var isUv: Bool { name.rawValue.hasPrefix("uv") }

    /// accept4(2), accept(2).
    public static let accept = Self(name: .accept)
    /// bind(2).
    public static let bind = Self(name: .bind)
    /// close(2).
    public static let close = Self(name: .close)
    /// connect(2).
    public static let connect = Self(name: .connect)
    /// fcntl(2).
    public static let fcntl = Self(name: .fcntl)
    /// fstat(2).
    public static let fstat = Self(name: .fstat)
    /// getaddrinfo(3); only the failures that have an error number.
    public static let getaddrinfo = Self(name: .getaddrinfo)
    /// getpeername(2).
    public static let getpeername = Self(name: .getpeername)
    /// getsockname(2).
    public static let getsockname = Self(name: .getsockname)
    /// getsockopt(2).
    public static let getsockopt = Self(name: .getsockopt)
    /// listen(2).
    public static let listen = Self(name: .listen)
    /// open(2).
    public static let open = Self(name: .open)
    /// pipe2(2).
    public static let pipe = Self(name: .pipe)
    /// poll(2), but not the loop's.
    public static let poll = Self(name: .poll)
    /// read(2).
    public static let read = Self(name: .read)
    /// recv(2), recvfrom(2), recvmsg(2).
    public static let receive = Self(name: .receive)
    /// recvmmsg(2).
    public static let receiveBatch = Self(name: .receiveBatch)
    /// send(2), sendto(2), sendmsg(2).
    public static let send = Self(name: .send)
    /// sendmmsg(2).
    public static let sendBatch = Self(name: .sendBatch)
    /// setsockopt(2).
    public static let setsockopt = Self(name: .setsockopt)
    /// shutdown(2).
    public static let shutdown = Self(name: .shutdown)
    /// socket(2).
    public static let socket = Self(name: .socket)
    /// chmod(2).
    public static let chmod = Self(name: .chmod)
    /// lstat(2).
    public static let lstat = Self(name: .lstat)
    /// unlink(2).
    public static let unlink = Self(name: .unlink)
    /// write(2).
    public static let write = Self(name: .write)
    /// uv_async_init.
    public static let uvAsyncInit = Self(name: .uvAsyncInit)
    /// uv_loop_init.
    public static let uvLoopInit = Self(name: .uvLoopInit)
    /// uv_poll_init.
    public static let uvPollInit = Self(name: .uvPollInit)
    /// uv_signal_init, uv_signal_start.
    public static let uvSignalInit = Self(name: .uvSignalInit)
  }
#endif
