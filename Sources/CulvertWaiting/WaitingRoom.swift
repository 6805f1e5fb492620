// SPDX-License-Identifier: Apache-2.0
// A wait as a change of executor: who enters the room is suspended, as a job that the room's executor is given, and is back
// when somebody runs that job. A continuation does the same for several hundred instructions more (DECISIONS.md).
//
// A module of its own, for `waitInRoom` has two declarations. Here it is a function of the room, which is what suspends the task.
// For its caller, in Culvert, it is one that ends in its caller's isolation, so no executor is changed on the way back: whoever
// runs the job runs it where the caller belongs. Both have the same calling convention: the caller's isolation comes first,
// without a word there, and as an argument that nobody reads here.

import CCulvert

/// An actor of which the only work is to be waited in.
@safe package actor WaitingRoom {
  package nonisolated let unownedExecutor: UnownedSerialExecutor

  /// Made for one executor, which must outlive it.
  package init(_ executor: UnownedSerialExecutor) {
    unsafe unownedExecutor = executor
  }
}

/// Suspends the current task until its job is run. Returns what `culvert_set_wake` was told on that thread before.
@_silgen_name("culvert_wait_in_room")
package func waitInRoom(_ caller: (any Actor)?, _ room: isolated WaitingRoom) async -> Int {
  culvert_wake()
}
