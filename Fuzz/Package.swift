// swift-tools-version: 6.2
// SPDX-License-Identifier: Apache-2.0
// The fuzzers are a package of their own: the flags that libFuzzer needs are refused in whatever others depend on.
// scripts/fuzz builds and runs them; without its flags they do not link.

import PackageDescription

/// The same rules as for the library next door.
let strict: [SwiftSetting] =
  [
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .strictMemorySafety(),
  ] + (Context.environment["WERROR"] == nil ? [] : [.treatAllWarnings(as: .error)])

let culvert = Target.Dependency.product(name: "Culvert", package: "culvert")
let tls = Target.Dependency.product(name: "CulvertTLS", package: "culvert")
/// The entry point is libFuzzer's.
let library: SwiftSetting = .unsafeFlags(["-parse-as-library"])

let package = Package(
  name: "fuzz",
  platforms: [.macOS(.v26)],
  dependencies: [.package(name: "culvert", path: "..")],
  targets: [
    .target(name: "FuzzSupport", dependencies: [culvert], swiftSettings: strict),
    .executableTarget(
      name: "FuzzAddress", dependencies: ["FuzzSupport", culvert], swiftSettings: strict + [library]),
    .executableTarget(
      name: "FuzzLines", dependencies: ["FuzzSupport", culvert], swiftSettings: strict + [library]),
    .executableTarget(
      name: "FuzzTls", dependencies: ["FuzzSupport", culvert, tls], swiftSettings: strict + [library]),
    .executableTarget(
      name: "FuzzFrames", dependencies: ["FuzzSupport", culvert], swiftSettings: strict + [library]),
  ]
)
