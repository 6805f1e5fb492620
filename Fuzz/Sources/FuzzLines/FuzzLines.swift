// SPDX-License-Identifier: Apache-2.0
// Lines, pieces that end in a mark, and bytes, in any order, out of any bytes.

import Culvert
import FuzzSupport

/// The program, under the name that the package manager gives it.
@_cdecl("FuzzLines_main")
public func main(
  _ argumentCount: Int32, _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?
) -> Int32 {
  unsafe fuzz(argumentCount, arguments) { input in
    guard let reading = Reading(input, request: request) else { return }
    runAtOnce { await reading.run() }
  }
}

private func request(_ kind: UInt8, _ argument: UInt8) -> Request {
  let number = Int(argument)
  switch kind % 8 {
  case 0, 1: return .line
  case 2: return .until([argument])
  // A mark that begins again within itself.
  case 3: return .until([argument, argument, 10])
  case 4: return .exactly(number % 32)
  case 5: return .peek(number)
  case 6: return argument < 128 ? .skip(number % 16) : .toEnd(number)
  default: return .some(argument == 255 ? 5000 : number % 16)
  }
}
