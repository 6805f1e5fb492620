// SPDX-License-Identifier: Apache-2.0
// Servers as services of swift-service-lifecycle. Compiled with the trait ServiceLifecycle only.

#if ServiceLifecycle
  public import ServiceLifecycle

  /// A server is a service: the graceful shutdown of its group drains it.
  ///
  /// ```swift
  /// try await withRuntime { runtime in
  ///   let server = listener.server(grace: .seconds(10)) { stream, server in … }
  ///   try await ServiceGroup(services: [server], gracefulShutdownSignals: [.sigterm], logger: logger).run()
  /// }
  /// ```
  extension Server: Service {}

  // Here, and not in the type: a call of `run()` on a server is then one of the server's own, which reports.
  extension Service where Self == Server {
    /// Runs the server until its connections have ended after a graceful shutdown, or its listener was closed.
    ///
    /// A graceful shutdown is `Server.drain()`: nobody new is let in, and handlers that are left when the server's grace is over are
    /// cancelled. Throws, and is cancelled, as `Server.run()`.
    public func run() async throws {
      try await withGracefulShutdownHandler {
        let _: ServeReport = try await self.run()
      } onGracefulShutdown: {
        self.drain()
      }
    }
  }
#endif
