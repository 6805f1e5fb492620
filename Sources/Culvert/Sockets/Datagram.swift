// SPDX-License-Identifier: Apache-2.0
// What a socket says of a datagram that it received.

import CCulvert

/// What is known of a datagram that was received; its bytes are in the buffer that was given.
public struct Datagram: Sendable {
  /// How many bytes are in the buffer. 0 is an empty datagram, not an end.
  public let count: Int
  /// How many bytes were sent: more than `count` when it was cut. Equal to `count` where the system does not tell (Darwin).
  public let size: Int
  /// Whether the buffer was too small: what did not fit is lost.
  public let isTruncated: Bool
  /// Who sent it.
  public let sender: SocketAddress

  /// To which of this machine's addresses, or to which group, it was sent (port 0). With `reportArrival(true)`.
  public var destination: SocketAddress? { arrival?.destination }
  /// The index of the network interface by which it came. With `reportArrival(true)`.
  public var interface: Int? { arrival?.interface }
  /// DSCP in the upper six bits, ECN in the lower two. With `reportArrival(true)`.
  public var trafficClass: Int? { arrival?.trafficClass }
  /// The two bits by which a router on the way tells of congestion: 3 if one did. With `reportArrival(true)`.
  public var ecn: Int? { trafficClass.map { $0 & 3 } }
  /// Set when the buffer holds several datagrams of that size (the last may be shorter) from one sender. Only with
  /// `joinSegments(true)`.
  public var segmentSize: Int? { segment == 0 ? nil : Int(segment) }

  private let segment: Int32
  // By reference: nearly nobody asks for it, and everybody would pay for copying it.
  private let arrival: Arrival?

  @inline(__always)
  init(_ raw: UnsafeMutablePointer<culvert_arrival>) {
    count = unsafe raw.pointee.count
    size = unsafe raw.pointee.size
    isTruncated = unsafe raw.pointee.is_truncated
    sender = unsafe SocketAddress(&raw.pointee.sender, length: Int(raw.pointee.sender_length)) ?? .unnamed
    segment = unsafe raw.pointee.segment
    let isTold = unsafe raw.pointee.destination_length > 0 || raw.pointee.traffic_class >= 0
    arrival = isTold ? unsafe Arrival(raw) : nil
  }
}

/// How a datagram came.
private final class Arrival: Sendable {
  let destination: SocketAddress?
  let interface: Int?
  let trafficClass: Int?

  init(_ raw: UnsafeMutablePointer<culvert_arrival>) {
    let length = Int(unsafe raw.pointee.destination_length)
    destination = length == 0 ? nil : unsafe SocketAddress(&raw.pointee.destination, length: length)
    interface = unsafe raw.pointee.interface == 0 ? nil : Int(raw.pointee.interface)
    trafficClass = unsafe raw.pointee.traffic_class < 0 ? nil : Int(raw.pointee.traffic_class)
  }
}
