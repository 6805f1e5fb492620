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
    let same = IoError(errno: 32, during: "write to x")
    #expect(error == same && error.hashValue == same.hashValue)
    let others = [
      error.after(3), IoError(errno: 32, during: "write to y"), IoError(errno: 104, during: "write to x"),
      IoError(.brokenPipe, during: "write to x"), IoError(.brokenPipe, "so it is told", during: "write to x"),
    ]
    #expect(Set(others + [error]).count == 6)
  }

  @Test func `an error tells what more is known of it, and how many bytes of a write went out`() {
    let error = IoError(.brokenPipe, "so it is told", during: "write to x")
    #expect(error.after(3).description == "write to x: broken pipe: so it is told after 3 bytes")
    #expect(error.description == "write to x: broken pipe: so it is told" && error.bytesWritten == 0)
  }
}
