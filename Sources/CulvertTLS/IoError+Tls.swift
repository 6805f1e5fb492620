// SPDX-License-Identifier: Apache-2.0
// The kinds of failure that only TLS has. Their details are in the words of OpenSSL, and hold no secret.

public import Culvert

extension IoError.Code {
  /// The peer's certificate was not accepted here: the error's `detail` says which check failed, of which certificate.
  public static let certificateRejected = IoError.Code(60, "certificate not accepted")
  /// The peer ended it with an alert, which `detail` names: it has not accepted our certificate, or wants one, or found a fault.
  public static let tlsRefused = IoError.Code(61, "refused by the peer")
  /// The two have no version, cipher or protocol in common, or there is no certificate for the host that was asked for.
  public static let tlsIncompatible = IoError.Code(62, "nothing in common with the peer")
  /// Anything else that OpenSSL reports: `detail` tells. What came and is no TLS is `.malformed`, and an end without TLS's own
  /// end (close_notify), after which more may have been meant to come, is `.unexpectedEnd`.
  public static let tlsFailed = IoError.Code(63, "TLS failed")
}
