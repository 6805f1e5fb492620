// SPDX-License-Identifier: Apache-2.0
// Frames of every kind out of any bytes, and that what is written as frames is read as frames.

import Culvert
import FuzzSupport

/// The program, under the name that the package manager gives it.
@_cdecl("FuzzFrames_main")
public func main(
  _ argumentCount: Int32, _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?
) -> Int32 {
  unsafe fuzz(argumentCount, arguments) { input in
    guard let reading = Reading(input, request: request) else { return }
    runAtOnce { await reading.run() }
    let there = RoundTrip(input)
    runAtOnce { await there.run() }
  }
}

private func request(_ kind: UInt8, _ argument: UInt8) -> Request {
  let widths = Framing.Width.allCases
  let order: Framing.ByteOrder = argument & 1 == 0 ? .bigEndian : .littleEndian
  switch kind % 8 {
  case 0...4: return .frame(width: widths[Int(kind % 8)], order: order)
  case 5: return .delimitedFrame([argument])
  case 6: return .delimitedFrame([argument, argument, 10])
  default: return argument & 1 == 0 ? .exactly(Int(argument) % 8) : .peek(Int(argument) % 8)
  }
}
