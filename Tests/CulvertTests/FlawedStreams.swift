// SPDX-License-Identifier: Apache-2.0
// Streams with one fault each, around a sound one.
import CulvertTesting
import Synchronization

@testable import Culvert

/// A sound stream, until something is overridden.
class Flawed: ByteStream, @unchecked Sendable {
  let sound: StreamSocket

  init(_ sound: StreamSocket) { self.sound = sound }

  func read(into buffer: inout OutputRawSpan) async throws(IoError) -> Int {
    try await sound.read(into: &buffer)
  }
  func write(_ bytes: RawSpan) async throws(IoError) { try await sound.write(bytes) }
  func shutdown() async throws(IoError) { try sound.shutdown() }
  func close() { sound.close() }
}

/// Looks at the cancellation when it has read already.
final class LosesReads: Flawed, @unchecked Sendable {
  override func read(into buffer: inout OutputRawSpan) async throws(IoError) -> Int {
    if buffer.freeCapacity == 0 { return 0 }
    guard let bytes = try await sound.read(upTo: buffer.freeCapacity) else { return 0 }
    if Task.isCancelled { throw IoError(.cancelled, during: "read") }
    for byte in bytes { buffer.append(byte) }
    return bytes.count
  }
}

/// Takes a turn for each half of a write.
final class Interleaves: Flawed, @unchecked Sendable {
  override func write(_ bytes: RawSpan) async throws(IoError) {
    let half = bytes.byteCount / 2
    try await sound.write(bytes.extracting(..<half))
    do throws(IoError) {
      try await sound.write(bytes.extracting(half...))
    } catch {
      throw error.after(half + error.bytesWritten)
    }
  }
}

/// Its end is a reset.
final class CutsOff: Flawed, @unchecked Sendable {
  override func shutdown() async throws(IoError) { (sound as? TcpStream)?.reset() }
}

/// After its end it waits for more.
final class EndsOnce: Flawed, @unchecked Sendable {
  private let hasEnded = Atomic(false)

  override func read(into buffer: inout OutputRawSpan) async throws(IoError) -> Int {
    // Nobody opens that.
    if hasEnded.load(ordering: .relaxed) { try await Gate().passed() }
    let hadRoom = buffer.freeCapacity > 0
    let count = try await sound.read(into: &buffer)
    if count == 0 && hadRoom { hasEnded.store(true, ordering: .relaxed) }
    return count
  }
}

/// Reads in a task of its own, which nobody cancels.
final class NeverCancels: Flawed, @unchecked Sendable {
  override func read(into buffer: inout OutputRawSpan) async throws(IoError) -> Int {
    let room = buffer.freeCapacity
    let reading = Task { [sound] () async -> Result<[UInt8]?, IoError> in
      do throws(IoError) { return .success(try await sound.read(upTo: room)) } catch {
        return .failure(error)
      }
    }
    let bytes = try await reading.value.get() ?? []
    for byte in bytes { buffer.append(byte) }
    return bytes.count
  }
}

/// Has room for everything.
final class Greedy: Flawed, @unchecked Sendable {
  private let last = Locked<Task<Void, any Error>?>(nil)

  override func write(_ bytes: RawSpan) async throws(IoError) {
    let copy = unsafe bytes.withUnsafeBytes { unsafe Array($0) }
    last.withLock { last in
      last = Task { [sound, last] in
        try await last?.value
        try await sound.write(copy)
      }
    }
  }

  override func shutdown() async throws(IoError) {
    _ = await last.withLock { $0 }?.result
    try await super.shutdown()
  }
}

/// Says of a write that failed that nothing had gone out.
final class Miscounts: Flawed, @unchecked Sendable {
  override func write(_ bytes: RawSpan) async throws(IoError) {
    do throws(IoError) {
      try await sound.write(bytes)
    } catch {
      throw IoError(error.code, during: "write")
    }
  }
}

/// Throws away what the buffer has.
final class Overwrites: Flawed, @unchecked Sendable {
  override func read(into buffer: inout OutputRawSpan) async throws(IoError) -> Int {
    buffer.removeAll()
    return try await sound.read(into: &buffer)
  }
}
