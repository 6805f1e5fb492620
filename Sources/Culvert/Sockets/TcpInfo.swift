// SPDX-License-Identifier: Apache-2.0
// What the kernel knows of a TCP connection: for reports, and to see why one is slow.

import CCulvert

/// How a TCP connection is doing, at the moment of asking.
public struct TcpInfo: Sendable, Hashable {
  /// Where in its life the connection is.
  public enum State: UInt8, Sendable, Hashable {
    /// Data may go both ways.
    case established = 1
    /// We asked for the connection.
    case synSent = 2
    /// The peer asked for it.
    case synReceived = 3
    /// We have finished sending.
    case finWait1 = 4
    /// That is acknowledged; the peer may still send.
    case finWait2 = 5
    /// Both have finished; what is late is waited for.
    case timeWait = 6
    /// It has ended, or never begun.
    case closed = 7
    /// The peer has finished sending.
    case closeWait = 8
    /// We have too, and wait for that to be acknowledged.
    case lastAck = 9
    /// It is a listener.
    case listening = 10
    /// Both have finished at the same moment.
    case closing = 11
  }

  /// Where in its life it is; `nil` for a state that this library does not know.
  public let state: State?
  /// The smoothed time from sending to the acknowledgement.
  public let roundTripTime: Duration
  /// How much that varies: the mean deviation.
  public let roundTripVariance: Duration
  /// The shortest such time seen lately. Linux 4.6.
  public let minimumRoundTripTime: Duration?
  /// How many segments may be on their way at a time.
  public let congestionWindow: Int
  /// The most bytes that a segment of ours carries.
  public let sendMss: Int
  /// The most bytes that a segment of the peer's has carried.
  public let receiveMss: Int
  /// Segments on their way that are not acknowledged yet.
  public let unacknowledged: Int
  /// Of those, the ones that count as lost.
  public let lost: Int
  /// Segments sent again, over the connection's whole life.
  public let retransmits: Int
  /// Bytes sent, those sent again included. Linux 4.19.
  public let bytesSent: Int?
  /// Bytes that the peer has acknowledged. Linux 4.1.
  public let bytesAcknowledged: Int?
  /// Bytes that have arrived, read or not. Linux 4.1.
  public let bytesReceived: Int?

  init(_ raw: culvert_tcp_info) {
    state = State(rawValue: raw.state)
    roundTripTime = .microseconds(raw.rtt)
    roundTripVariance = .microseconds(raw.rtt_variance)
    // The kernel's word for "not measured yet".
    let isMeasured = raw.minimum_rtt >= 0 && raw.minimum_rtt < UInt32.max
    minimumRoundTripTime = isMeasured ? .microseconds(raw.minimum_rtt) : nil
    congestionWindow = Int(raw.congestion_window)
    sendMss = Int(raw.send_mss)
    receiveMss = Int(raw.receive_mss)
    unacknowledged = Int(raw.unacknowledged)
    lost = Int(raw.lost)
    retransmits = Int(raw.retransmits)
    bytesSent = raw.bytes_sent < 0 ? nil : Int(raw.bytes_sent)
    bytesAcknowledged = raw.bytes_acknowledged < 0 ? nil : Int(raw.bytes_acknowledged)
    bytesReceived = raw.bytes_received < 0 ? nil : Int(raw.bytes_received)
  }
}
