// SPDX-License-Identifier: Apache-2.0
// How a piece of work has ended, for those who run it for somebody else.

extension Error {
  /// Whether it says that the task was cancelled, in our words or in the standard library's.
  var isCancellation: Bool { self is CancellationError || (self as? IoError)?.code == .cancelled }
}

extension Result where Failure == any Error {
  /// What `body` returns or throws.
  init(_ body: () async throws -> Success) async {
    do {
      self = .success(try await body())
    } catch {
      self = .failure(error)
    }
  }
}
