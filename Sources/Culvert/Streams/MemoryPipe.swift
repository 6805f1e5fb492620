// SPDX-License-Identifier: Apache-2.0
// Bytes from one task to another, one way, in memory. Bounded: who writes waits for who reads.

/// One way of a duplex stream. Safe from any thread.
final class MemoryPipe: ParkingPlace {
  /// Who waits: for bytes, or for room.
  enum Side { case reader, writer }

  private struct State: ~Copyable {
    var bytes = ReadAhead()
    /// Nothing comes behind what is there.
    var isFinished = false
    /// Each end's own close.
    var isReaderClosed = false
    var isWriterClosed = false
    var readers = WaiterQueue()
    var writers = WaiterQueue()
  }

  private let state = Locked(State())
  /// How many bytes it holds at most.
  private let capacity: Int
  private let writeTurn = WriteTurn()

  init(capacity: Int) {
    self.capacity = max(1, capacity)
  }

  // MARK: the reader's end

  func read(into buffer: inout OutputRawSpan, during operation: String) async throws(IoError) -> Int {
    if buffer.freeCapacity == 0 { return 0 }
    while true {
      try await Budget.spend(during: operation)
      if let count = try readNow(into: &buffer, during: operation) { return count }
      if await wait(for: .reader) == .cancelled { throw IoError(.cancelled, during: operation) }
    }
  }

  /// 0 at the end; `nil` when there is nothing yet.
  private func readNow(into buffer: inout OutputRawSpan, during operation: String) throws(IoError) -> Int? {
    let (count, woken) = try unsafe buffer.withUnsafeMutableBytes { (memory, used) throws(IoError) in
      try state.withLock { (state) throws(IoError) -> (Int?, [Waiter]) in
        if state.isReaderClosed { throw IoError(.closed, during: operation) }
        if state.bytes.count == 0 { return (state.isFinished ? 0 : nil, []) }
        let count = min(memory.count - used, state.bytes.count)
        let room = unsafe UnsafeMutableRawBufferPointer(rebasing: memory[used...])
        unsafe room.copyMemory(from: UnsafeRawBufferPointer(rebasing: state.bytes.bytes[..<count]))
        state.bytes.drop(count)
        used += count
        return (count, state.writers.removeAll())
      }
    }
    for waiter in woken { waiter.wake(.ready) }
    return count
  }

  /// Who waits to read gets `.closed`, and who writes `.brokenPipe`.
  func closeReader() {
    wakeAll { $0.isReaderClosed = true }
  }

  // MARK: the writer's end

  func write(_ bytes: RawSpan, during operation: String) async throws(IoError) {
    try await writeTurn.take(during: operation)
    defer { writeTurn.give() }
    var written = 0
    do throws(IoError) {
      while true {
        try await Budget.spend(during: operation)
        written += try writeNow(bytes, from: written, during: operation)
        if written == bytes.byteCount { return }
        if await wait(for: .writer) == .cancelled { throw IoError(.cancelled, during: operation) }
      }
    } catch {
      throw error.after(written)
    }
  }

  /// Writes what there is room for.
  private func writeNow(_ bytes: RawSpan, from offset: Int, during operation: String) throws(IoError) -> Int {
    let (count, woken) = try unsafe bytes.withUnsafeBytes { (bytes) throws(IoError) in
      try state.withLock { (state) throws(IoError) -> (Int, [Waiter]) in
        if state.isWriterClosed { throw IoError(.closed, during: operation) }
        if unsafe bytes.isEmpty { return (0, []) }
        if state.isReaderClosed || state.isFinished { throw IoError(.brokenPipe, during: operation) }
        var rest = unsafe bytes[offset...].prefix(capacity - state.bytes.count)
        let count = unsafe rest.count
        while unsafe !rest.isEmpty {
          let room = unsafe state.bytes.room(upTo: capacity)
          let some = unsafe rest.prefix(room.count)
          unsafe room.copyMemory(from: UnsafeRawBufferPointer(rebasing: some))
          unsafe state.bytes.append(some.count)
          unsafe rest = rest.dropFirst(some.count)
        }
        return (count, count == 0 ? [] : state.readers.removeAll())
      }
    }
    for waiter in woken { waiter.wake(.ready) }
    return count
  }

  /// The end comes behind what was written. Throws `.closed`.
  func finish(during operation: String) throws(IoError) {
    let isClosed = state.withLock { $0.isWriterClosed }
    if isClosed { throw IoError(.closed, during: operation) }
    wakeAll { $0.isFinished = true }
  }

  /// Who waits to write gets `.closed`; who reads finds the end behind what was written.
  func closeWriter() {
    wakeAll { state in
      state.isWriterClosed = true
      state.isFinished = true
    }
  }

  // MARK: waiting

  private func wakeAll(_ change: (inout State) -> Void) {
    let woken = state.withLock { state in
      change(&state)
      return state.readers.removeAll() + state.writers.removeAll()
    }
    for waiter in woken { waiter.wake(.ready) }
  }

  func park(_ waiter: Waiter, for side: Side) -> Parking {
    state.withLock { state in
      let hasEnded = state.isFinished || state.isReaderClosed || state.isWriterClosed
      let isReady = side == .reader ? state.bytes.count > 0 : state.bytes.count < capacity
      if hasEnded || isReady { return .declined(.ready) }
      if waiter.isCancelled { return .declined(.cancelled) }
      if side == .reader { state.readers.append(waiter) } else { state.writers.append(waiter) }
      return .kept
    }
  }

  func cancelWait(of task: TaskIdentity) {
    state.withLock { $0.readers.remove(task) ?? $0.writers.remove(task) }?.wake(.cancelled)
  }
}
