// SPDX-License-Identifier: Apache-2.0
// The one call here that blocks: getaddrinfo(3), which reads files, asks name servers, and can't be given up. No worker
// may make it.

import CCulvert

extension Syscalls {
  /// Looks a host up; what is in `found` is the caller's to free, whatever the result: a `culvert_found` or another of its
  /// kind, or an error number.
  static func findAddresses(of host: String, port: UInt16, _ found: inout culvert_lookup) -> SysResult {
    retryingInterrupts(.getaddrinfo) {
      unsafe host.withCString { unsafe Int(culvert_find_addresses($0, port, &found)) }
    }
  }
}
