// SPDX-License-Identifier: Apache-2.0
// Signals as an async sequence.

import CCulvert

/// A signal of the operating system.
public struct Signal: RawRepresentable, Sendable, Hashable, CustomStringConvertible {
  /// The system's number.
  public let rawValue: Int32
  /// Wraps a number.
  public init(rawValue: Int32) { self.rawValue = rawValue }

  /// Ctrl-C (`SIGINT`).
  public static let interrupt = Signal(rawValue: SIGINT)
  /// A polite request to end (`SIGTERM`).
  public static let terminate = Signal(rawValue: SIGTERM)
  /// The terminal is gone, or a request to read the configuration again (`SIGHUP`).
  public static let hangUp = Signal(rawValue: SIGHUP)
  /// For the program's own use (`SIGUSR1`).
  public static let user1 = Signal(rawValue: SIGUSR1)
  /// For the program's own use (`SIGUSR2`).
  public static let user2 = Signal(rawValue: SIGUSR2)

  /// The system's name for the common ones, such as "SIGINT".
  public var description: String {
    switch self {
    case .interrupt: "SIGINT"
    case .terminate: "SIGTERM"
    case .hangUp: "SIGHUP"
    case .user1: "SIGUSR1"
    case .user2: "SIGUSR2"
    default: "signal \(rawValue)"
    }
  }
}

/// The signals that arrive, from `listen` on; they lose their usual effect as long as this exists.
///
/// ```swift
/// let signals = try await Signals.listen(to: .interrupt, .terminate)
/// for await signal in signals { print("got \(signal)"); break }
/// ```
/// A signal that comes again before it was taken counts once. Several listeners each get every signal.
public final class Signals: AsyncSequence, Sendable {
  private let watch: SignalWatch
  private let home: IoDriverHandle

  /// Begins to listen; on return the signals are caught.
  ///
  /// Throws `.invalidArgument` for what can't be caught (`SIGKILL`, `SIGSTOP`), `.shutDown`. `sigaction(2)`.
  public static func listen(to signals: Signal...) async throws(IoError) -> Signals {
    let signals = Signals(signals, at: try IoDriverHandle.current)
    try await signals.start()
    return signals
  }

  private init(_ signals: [Signal], at home: IoDriverHandle) {
    watch = SignalWatch(signals.map(\.rawValue))
    self.home = home
  }

  deinit {
    let watch = watch
    _ = home.perform { $0.remove(watch) }
  }

  private func start() async throws(IoError) {
    let done = Latch()
    let box = Outcome()
    let watch = watch
    let accepted = home.perform { driver in
      do throws(IoError) { try driver.add(watch) } catch { box.error.withLock { $0 = error } }
      done.open()
    }
    guard accepted else { throw IoError(.shutDown, during: "listen to signals") }
    _ = await done.waitThoughCancelled(for: ())
    if let error = box.error.withLock({ $0 }) { throw error }
  }

  private final class Outcome: Sendable {
    let error = Locked<IoError?>(nil)
  }

  /// Takes signals; several iterators share them out.
  public func makeAsyncIterator() -> Iterator { Iterator(signals: self) }

  /// Takes signals one after the other.
  public struct Iterator: AsyncIteratorProtocol {
    fileprivate let signals: Signals

    /// The next signal; `nil` when the task is cancelled or the runtime ends.
    public func next(isolation actor: isolated (any Actor)? = #isolation) async -> Signal? {
      while true {
        if let number = signals.watch.take() { return Signal(rawValue: number) }
        if await signals.watch.wait(for: ()) != .ready { return nil }
      }
    }
  }
}
