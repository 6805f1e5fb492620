// SPDX-License-Identifier: Apache-2.0
// References that are not counted, where counting would be a good part of the work.

/// A reference to an object that outlives it: whoever makes one says why. Copies cost nothing, nor does a use.
@safe struct Unretained<Object: AnyObject>: @unchecked Sendable {
  private let reference: Unmanaged<Object>

  init(_ object: Object) { unsafe reference = .passUnretained(object) }

  /// Of an object whose address was noted.
  init(at address: UnsafeRawPointer) { unsafe reference = .fromOpaque(address) }

  /// The object's address.
  var address: UnsafeMutableRawPointer { unsafe reference.toOpaque() }

  /// Of an object that is kept until `release`, by whoever has its address.
  init(keeping object: Object) { unsafe reference = .passRetained(object) }
  func release() { unsafe reference.release() }

  @inline(__always)
  func with<R>(_ body: (Object) -> R) -> R { unsafe reference._withUnsafeGuaranteedRef(body) }
}
