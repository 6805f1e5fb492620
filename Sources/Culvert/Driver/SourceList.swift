// SPDX-License-Identifier: Apache-2.0
// The sources that one driver is the home of, in the order in which they came: a list that runs through the records
// themselves, for a table of them would cost each connection more than the rest of its bookkeeping.

/// A record's place in the list of its home. Under the lock of that.
struct SourceLinks {
  fileprivate var next: RegistrationInfo?
  fileprivate unowned(unsafe) var previous: RegistrationInfo?
}

/// Records, each of them kept until it is removed.
struct SourceList {
  private(set) var count = 0
  private var first: RegistrationInfo?
  private unowned(unsafe) var last: RegistrationInfo?

  /// A record that is in no list.
  mutating func append(_ info: RegistrationInfo) {
    unsafe info.links.previous = last
    if let last = unsafe last { unsafe last.links.next = info } else { first = info }
    unsafe last = info
    count += 1
  }

  /// Removes a record, if it is there.
  mutating func remove(_ info: RegistrationInfo) {
    let (next, previous) = unsafe (info.links.next, info.links.previous)
    if previous == nil && first !== info { return }
    if let previous { unsafe previous.links.next = next } else { first = next }
    if let next { unsafe next.links.previous = previous } else { unsafe last = previous }
    unsafe info.links = SourceLinks()
    count -= 1
  }

  /// One after the other: a list that is dropped as a whole would go down its links as deep as it is long.
  mutating func removeAll() {
    while let info = first { remove(info) }
  }

  var all: [RegistrationInfo] {
    var found: [RegistrationInfo] = []
    found.reserveCapacity(count)
    var next = first
    while let info = next {
      found.append(info)
      next = unsafe info.links.next
    }
    return found
  }
}
