// SPDX-License-Identifier: Apache-2.0
// The libuv that was loaded, which need not be the one whose headers the build saw.

import CLibuv
import CCulvert

enum UvVersion {
  /// As libuv writes it: 0x012C02 is 1.44.2.
  static var loaded: UInt32 { uv_version() }

  /// One line on standard error if the libuv that was loaded is known to be bad.
  static func warn() {
    guard var line = warning(about: loaded) else { return }
    line += "\n"
    // To whom could it be said that this failed?
    _ = line.withUTF8 { unsafe write(STDERR_FILENO, $0.baseAddress, $0.count) }
  }

  /// 1.45 to 1.48 only take note of what is to be watched no more. Were the number closed before they act on it,
  /// and somebody held a copy, events would go on and on and the loop never rest (libuv #4323, #4328). With them the number
  /// is closed only after the close callback, which is late enough; but nobody mends those versions any more.
  static func delaysDeletes(_ version: UInt32) -> Bool { (0x012D00..<0x013100).contains(version) }

  static func warning(about version: UInt32) -> String? {
    guard delaysDeletes(version) else { return nil }
    let name = "1.\(version >> 8 & 0xFF).\(version & 0xFF)"
    return "culvert: libuv \(name) has a known fault (libuv issue 4323); better use 1.44, or 1.49 or later"
  }
}
