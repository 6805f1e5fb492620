// SPDX-License-Identifier: Apache-2.0
// Many datagrams in one call: what a batch holds, what it sends, segments, faults.
import CCulvert
import CulvertTesting
import Testing

@testable import Culvert

@Suite(.timeLimit(watchdog)) struct DatagramBatchTests {
  /// Receives until `count` datagrams are there; the batch's segments count as one each.
  private func receive(_ count: Int, on socket: UdpSocket, _ batch: DatagramBatch) async throws -> [[UInt8]] {
    var all: [[UInt8]] = []
    while all.count < count {
      let filled = try await socket.receiveBatch(into: batch)
      #expect(filled > 0 && batch.count == filled)
      for index in 0..<filled {
        batch.forEachSegment(of: index) { span in
          all.append(unsafe span.withUnsafeBytes { unsafe Array($0) })
        }
      }
    }
    return all
  }

  @Test(arguments: loopbacks)
  func `a batch comes in and goes back to its senders`(address: SocketAddress) async throws {
    let pair = try await UdpPair(address)
    let third = try await UdpSocket.bind(address)
    let target = try pair.other.localAddress
    let batch = try DatagramBatch(capacity: 8, size: 10)
    let sizes = [0, 1, 9, 10, 11, 100]
    for (index, size) in sizes.enumerated() {
      let sender = index % 2 == 0 ? pair.one : third
      try await sender.send([UInt8](repeating: UInt8(index), count: size), to: target)
    }
    var index = 0
    while index < sizes.count {
      for entry in 0..<(try await pair.other.receiveBatch(into: batch)) {
        let (datagram, size) = (batch[entry], sizes[index])
        #expect(datagram.count == min(size, 10) && datagram.isTruncated == (size > 10))
        #expect(try datagram.sender == (index % 2 == 0 ? pair.one : third).localAddress)
        #expect(batch.bytes(of: entry) == [UInt8](repeating: UInt8(index), count: min(size, 10)))
        index += 1
      }
      try await pair.other.sendBatch(batch)
      #expect(batch.sent == batch.count)
    }
    for (index, size) in sizes.enumerated() {
      let (bytes, datagram) = try await (index % 2 == 0 ? pair.one : third).receive(upTo: 99)
      #expect(bytes == [UInt8](repeating: UInt8(index), count: min(size, 10)))
      #expect(datagram.sender == target)
    }
  }

  @Test func `what is appended goes where it is told, or to the peer`() async throws {
    let pair = try await UdpPair().connected()
    let third = try await UdpSocket.bind("127.0.0.1:0")
    let batch = try DatagramBatch(capacity: 3, size: 2)
    #expect(try batch.append([1]) && batch.append([2, 2], to: third.localAddress) && batch.append([]))
    #expect(try batch.append([4]) == false)
    #expect(batch[0].sender == .unnamed && batch[0].count == 1)
    try await pair.one.sendBatch(batch)
    #expect(try await receive(2, on: pair.other, DatagramBatch(capacity: 4, size: 4)) == [[1], []])
    #expect(try await third.receive(upTo: 9).bytes == [2, 2])
    batch.removeAll()
    #expect(await failure { try batch.append([1, 2, 3]) } == .messageTooLong)
    try await pair.one.sendBatch(batch)
    #expect(batch.count == 0 && batch.sent == 0)
    for (capacity, size) in [(0, 1), (1025, 1), (1, -1), (1, 65_536)] {
      #expect(await failure { try DatagramBatch(capacity: capacity, size: size) } == .invalidArgument)
    }
  }

  @Test func `a datagram that can't be sent stops the batch there, and the rest can go on`() async throws {
    let socket = try await UdpSocket.bind("127.0.0.1:0")
    let receiver = try await UdpSocket.bind("127.0.0.1:0")
    let batch = try DatagramBatch(capacity: 3, size: 65_535)
    for size in [1, 65_535, 3] {
      try batch.append([UInt8](repeating: 7, count: size), to: receiver.localAddress)
    }
    #expect(await failure { try await socket.sendBatch(batch) } == .messageTooLong)
    #expect(batch.sent == 1)
    try await socket.sendBatch(batch, from: 2)
    let got = try await receive(2, on: receiver, batch)
    #expect(got == [[7], [7, 7, 7]])
  }

  @Test(arguments: [false, true], [1, 100, 1200, 1472, 9000, 65_507])
  func `segments arrive as datagrams of their size, joined or not`(joins: Bool, size: Int) async throws {
    let pair = try await UdpPair().connected()
    if joins { try pair.other.joinSegments(true) }
    let batch = try DatagramBatch(capacity: 4, size: 65_535)
    // Up to what the receive buffer has room for, with less in the last one.
    let count = min(130, max(1, 100_000 / (size + 800)))
    let sent = countingBytes(size * count + (size > 1 ? size / 2 : 0))
    async let sending: Void = pair.one.send(segments: sent, of: size)
    let expected = (sent.count + size - 1) / size
    let got = try await receive(expected, on: pair.other, batch)
    try await sending
    #expect(got.count == expected && got.dropLast().allSatisfy { $0.count == size })
    #expect(isSame(got.reduce(into: []) { $0 += $1 }, sent))
  }

  @Test func `a batch sends segments too, and what was joined goes back in segments`() async throws {
    let pair = try await UdpPair().connected()
    let batch = try DatagramBatch(capacity: 4, size: 65_535)
    try pair.other.joinSegments(true)
    let sent = countingBytes(1050)
    try batch.append(sent, segmentSize: 100)
    try batch.append(sent, segmentSize: 2000)
    try await pair.one.sendBatch(batch)
    let echoing = Task {
      let echo = try DatagramBatch(capacity: 4, size: 65_535)
      while true {
        try await pair.other.receiveBatch(into: echo)
        try await pair.other.sendBatch(echo)
      }
    }
    let answers = try await receive(12, on: pair.one, batch)
    echoing.cancel()
    let pieces = stride(from: 0, to: 1050, by: 100).map { Array(sent[$0..<min($0 + 100, 1050)]) }
    #expect(answers == pieces + [sent])
  }

  @Test func `segments of no size are refused, and no bytes are no datagram`() async throws {
    let pair = try await UdpPair().connected()
    #expect(await failure { try await pair.one.send(segments: [1], of: 0) } == .invalidArgument)
    try await pair.one.send(segments: [], of: 9)
    try await pair.one.send(segments: [5], of: 9)
    #expect(try await pair.other.receive(upTo: 9).bytes == [5])
    let error = await thrown {
      try await pair.one.send(segments: [UInt8](repeating: 0, count: 140_000), of: 70_000)
    }
    #expect(error?.code == .messageTooLong && error?.bytesWritten == 0)
  }

  @Test func `cancelled receives of batches lose no datagram`() async throws {
    let pair = try await UdpPair().connected()
    var got: [UInt8] = []
    for value in 0..<250 as Range<UInt8> {
      let task = Task {
        let batch = try DatagramBatch(capacity: 3, size: 9)
        try await pair.other.receiveBatch(into: batch)
        return (0..<batch.count).flatMap { batch.bytes(of: $0) }
      }
      for _ in 0..<value % 4 { await Task.yield() }
      async let sent: Void = pair.one.send([value])
      task.cancel()
      if let bytes = try? await task.value { got += bytes }
      try await sent
    }
    while got.count < 250 { got += try await pair.other.receive(upTo: 3).bytes }
    #expect(got == (0..<250).map { UInt8($0) })
  }

  #if FaultInjection
    @Test func `would-block, signals and short transfers cut no datagram and lose none`() async throws {
      let script = FaultScript(seed: 1)
      let calls: Set<FaultScript.Call> = [.receive, .receiveBatch, .send, .sendBatch]
      script.add(.fail(EINTR), to: calls, chance: 0.3)
      script.add(.fail(EAGAIN), to: calls, chance: 0.3)
      script.add(.atMost(1), to: calls)
      try await script.run {
        try await onOneWorker { _ in
          let pair = try await UdpPair().connected()
          let batch = try DatagramBatch(capacity: 8, size: 1000)
          for round in 0..<100 {
            let sent = (0..<5).map { [UInt8](repeating: UInt8(round), count: 100 * $0) }
            batch.removeAll()
            for bytes in sent { try batch.append(bytes) }
            try await pair.one.sendBatch(batch)
            try await pair.one.send(sent[4])
            let got = try await receive(5, on: pair.other, DatagramBatch(capacity: 5, size: 1000))
            #expect(got == sent)
            #expect(try await pair.other.receive(upTo: 999).bytes == sent[4])
          }
        }
      }
      #expect(calls.isSubset(of: script.injected.keys))
    }

    @Test(arguments: [EIO, EINVAL, EOPNOTSUPP])
    func `where the kernel cuts no segments they are sent one by one`(errno: Int32) async throws {
      let pair = try await UdpPair().connected()
      let sent = countingBytes(1050)
      let batch = try DatagramBatch(capacity: 16, size: 2000)
      let script = FaultScript()
      script.add(.fail(errno), to: [.send], times: 1)
      try await script.run { try await pair.one.send(segments: sent, of: 100) }
      #expect(try await receive(11, on: pair.other, batch).joined().elementsEqual(sent))
      let one = try DatagramBatch(capacity: 1, size: 2000)
      try one.append(sent, segmentSize: 100)
      let other = FaultScript()
      other.add(.fail(errno), to: [.send, .sendBatch], times: 2)
      try await other.run { try await pair.one.sendBatch(one) }
      #expect(other.injected == [.send: 1, .sendBatch: 1])
      #expect(try await receive(11, on: pair.other, batch).joined().elementsEqual(sent))
    }
  #endif
}

extension DatagramSocket {
  /// What is there without waiting.
  fileprivate func receivedNow() async throws(IoError) -> [UInt8]? {
    var buffer = [UInt8](repeating: 0, count: 65_535)
    return try tryReceive(into: &buffer).map { Array(buffer[..<$0.count]) }
  }
}
