// SPDX-License-Identifier: Apache-2.0
// The one page, in the program itself.

import FlyingFox
import Foundation

enum Page {
  /// The page, which may run nothing but what is in it, and talk to nobody but us.
  static let response = HTTPResponse(
    statusCode: .ok,
    headers: [
      .contentType: "text/html; charset=utf-8",
      HTTPHeader("Cache-Control"): "no-cache",
      HTTPHeader("Content-Security-Policy"):
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; connect-src 'self'",
      HTTPHeader("X-Content-Type-Options"): "nosniff",
      HTTPHeader("X-Frame-Options"): "DENY",
    ],
    body: Data(PackageResources.index_html))
}
