// SPDX-License-Identifier: Apache-2.0
// Streams in the states that tests need: connected with each other, and full to the brim.

public import Culvert

extension TcpStream {
  /// Two ends of one connection over the loopback interface.
  ///
  /// ```swift
  /// let (client, server) = try await TcpStream.loopbackPair()
  /// ```
  /// Throws what `TcpListener.bind` and `TcpStream.connect` throw.
  public static func loopbackPair(
    on address: SocketAddress = .loopback(port: 0)
  ) async throws(IoError) -> (client: TcpStream, server: TcpStream) {
    let listener = try await TcpListener.bind(address)
    let client = try await TcpStream.connect(to: listener.localAddress)
    let server = try await listener.accept()
    return (client, server)
  }

  /// A stream that takes no byte more until its peer is read.
  ///
  /// ```swift
  /// let clogged = try TcpStream.clogged()
  /// async let written: Void = clogged.stream.write("!")   // waits
  /// try await clogged.unclog()
  /// try await written
  /// ```
  /// Over a pair of Unix sockets, whose buffer neither grows nor empties by itself. Throws `.tooManyDescriptors` and the like.
  /// `socketpair(2)`.
  public static func clogged() throws(IoError) -> CloggedStream {
    #if FaultInjection
      // Under a script of its own, for another one might say "full" too early.
      return try Faults.$script.withValue(Faults.Script(seed: 0)) { Result(catching: fill) }.get()
    #else
      return try fill()
    #endif
  }

  private static func fill() throws(IoError) -> CloggedStream {
    let (stream, peer) = try TcpStream.overSocketPair()
    let chunk = [UInt8](repeating: CloggedStream.filler, count: 4096)
    var count = 0
    while true {
      if let taken = try stream.tryWrite(chunk) {
        count += taken
      } else if try stream.tryWrite([CloggedStream.filler]) != nil {
        count += 1
      } else {
        return CloggedStream(stream: stream, peer: peer, byteCount: count)
      }
    }
  }
}

/// A stream whose send buffer is full, and its peer.
public struct CloggedStream: Sendable {
  /// What the buffer is filled with.
  public static let filler: UInt8 = 0x2E

  /// Takes no byte more.
  public let stream: TcpStream
  /// Has read nothing yet.
  public let peer: TcpStream
  /// How many bytes are on their way to `peer`.
  public let byteCount: Int

  /// Reads the bytes that clog it, so that `stream` takes more. Throws what reading throws.
  public func unclog() async throws(IoError) {
    var left = byteCount
    while left > 0, let some = try await peer.read(upTo: left) { left -= some.count }
  }
}
