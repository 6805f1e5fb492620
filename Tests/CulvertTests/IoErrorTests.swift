// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import Culvert

@Suite struct IoErrorTests {
  @Test func `an error says what was being done to what, and why it failed`() {
    #expect(IoError(.closed, during: "read from 127.0.0.1:7").description == "read from 127.0.0.1:7: closed")
  }

  @Test func `an errno that has no code of its own is told in the system's words`() {
    let error = IoError(errno: 40, during: "open x")
    #expect(error.code == .other)
    #expect(error.description.hasPrefix("open x: "))
    #expect(error.errno == 40)
  }

  @Test func `errors are equal that tell the same, and no others`() {
    let error = IoError(errno: 32, during: "write to x")
    var (detailed, partial) = (error, error)
    detailed.detail = "so it was told"
    partial.bytesWritten = 3
    let same = IoError(errno: 32, during: "write to x")
    #expect(error == same && error.hashValue == same.hashValue)
    let others = [
      detailed, partial, IoError(errno: 32, during: "write to y"), IoError(errno: 104, during: "write to x"),
      IoError(.brokenPipe, during: "write to x"),
    ]
    #expect(Set(others + [error]).count == 6)
  }

  @Test func `what is added to an error leaves its copies, and what it told before, as they were`() {
    let error = IoError(errno: 32, during: "write to x")
    var changed = error
    changed.bytesWritten = 3
    changed.detail = "so it was told"
    #expect(changed.description == "write to x: broken pipe: so it was told after 3 bytes")
    #expect(error.bytesWritten == 0 && error.detail == "" && error.description == "write to x: broken pipe")
  }
}
