// SPDX-License-Identifier: Apache-2.0
// What Culvert has to say, for swift-log. It logs nothing unless it is asked to. Compiled with the trait Logging only.

#if Logging
  public import Logging

  extension Logger {
    /// Logs that a listener has stopped accepting for want of descriptors or memory, as a warning.
    ///
    /// ```swift
    /// let listener = try await TcpListener.bind("127.0.0.1:7777", onPressure: logger.reportPressure)
    /// ```
    /// It goes on by itself when there is room, and reports no more until then.
    public func reportPressure(_ error: IoError) {
      warning("accepting pauses until there is room", metadata: ["error": "\(error)"])
    }

    /// Logs what ended a connection's handler: at the level info, or debug where the peer or the server's end was the reason.
    ///
    /// ```swift
    /// try await listener.serve(onError: logger.reportFailure) { stream in … }
    /// ```
    public func reportFailure(_ error: any Error, of connection: NetSocket) {
      log(
        level: Self.isUsual(error) ? .debug : .info, "a connection has failed",
        metadata: ["error": "\(error)", "connection": "\(connection)"])
    }

    /// What happens to connections every day.
    private static func isUsual(_ error: any Error) -> Bool {
      switch (error as? IoError)?.code {
      case .connectionReset?, .brokenPipe?, .timedOut?, .cancelled?, .shutDown?, .unexpectedEnd?: true
      default: error is CancellationError
      }
    }
  }
#endif
