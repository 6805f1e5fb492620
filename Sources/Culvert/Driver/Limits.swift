// SPDX-License-Identifier: Apache-2.0
// The bounds of one driver.

/// What a worker may hold and do; over a bound there is a clear error, never growth without end.
public struct Limits: Sendable, Hashable {
  /// Descriptors that one worker watches at once; over it a wait throws `.limitReached`.
  public var registrations = 100_000
  /// Jobs that one turn of a worker runs before it looks at the sockets again; what was ready when the turn began is
  /// always run.
  public var jobsPerTurn = 61
  /// Socket calls in a row that one job makes without waiting; then it lets others run.
  public var callsPerJob = 128
  /// How long an ending worker goes on running the jobs that its end made ready.
  public var shutDownGrace = Duration.seconds(1)

  /// The defaults.
  public init() {}
}
