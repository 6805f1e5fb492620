// SPDX-License-Identifier: Apache-2.0
// The bounds of one driver.

/// What a worker may hold and do; over a bound there is a clear error, never growth without end.
///
/// ```swift
/// var configuration = Runtime.Configuration()
/// configuration.limits.registrations = 10_000
/// try await withRuntime(configuration) { runtime in … }
/// ```
public struct Limits: Sendable, Hashable {
  /// Descriptors that one worker watches at once; over it a wait throws `.limitReached`.
  public var registrations = 100_000
  /// Jobs that one turn of a worker takes from other threads, and jobs made ready meanwhile that it runs, before it looks
  /// at the sockets again; what an event has made ready is always run.
  public var jobsPerTurn = 61
  /// Socket calls in a row that one job makes without waiting; then it lets others run.
  public var callsPerJob = 128
  /// How long an ending worker goes on running the jobs that its end made ready.
  public var shutDownGrace = Duration.seconds(1)

  /// The defaults.
  public init() {}
}
