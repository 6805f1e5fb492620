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
}
