// swift-tools-version: 6.2
// SPDX-License-Identifier: Apache-2.0
import PackageDescription

/// One array, so that every Swift target is built under the same rules.
/// `make` sets WERROR, so warnings are errors for us and never for those who depend on us.
let strict: [SwiftSetting] =
  [
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .strictMemorySafety(),
  ] + (Context.environment["WERROR"] == nil ? [] : [.treatAllWarnings(as: .error)])

/// Bridges to other packages, each with the trait that turns it on: without it the package is not even resolved.
let lifecycle = Target.Dependency.product(
  name: "ServiceLifecycle", package: "swift-service-lifecycle", condition: .when(traits: ["ServiceLifecycle"])
)
let logging = Target.Dependency.product(
  name: "Logging", package: "swift-log", condition: .when(traits: ["Logging"]))
let metrics = Target.Dependency.product(
  name: "CoreMetrics", package: "swift-metrics", condition: .when(traits: ["Metrics"]))

let package = Package(
  name: "culvert",
  platforms: [.macOS(.v15)],
  products: [
    .library(name: "Culvert", targets: ["Culvert"]),
    .library(name: "CulvertTLS", targets: ["CulvertTLS"]),
    .library(name: "CulvertTesting", targets: ["CulvertTesting"]),
  ],
  traits: [
    .trait(
      name: "FaultInjection",
      description:
        "System calls can be made to fail (CulvertTesting's FaultScript). For tests, never for a release."
    ),
    .trait(name: "ServiceLifecycle", description: "A Server is a service of swift-service-lifecycle."),
    .trait(name: "Logging", description: "What Culvert has to say, for swift-log's Logger."),
    .trait(name: "Metrics", description: "What the workers have in hand, as gauges of swift-metrics."),
  ],
  dependencies: [
    .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    .package(url: "https://github.com/apple/swift-metrics", from: "2.13.0"),
  ],
  targets: [
    .systemLibrary(
      name: "CLibuv", pkgConfig: "libuv",
      providers: [.apt(["libuv1-dev"]), .brew(["libuv"])]),
    .target(name: "CCulvert"),
    .target(name: "CulvertWaiting", dependencies: ["CCulvert"], swiftSettings: strict),
    .target(
      name: "Culvert", dependencies: ["CLibuv", "CCulvert", "CulvertWaiting", lifecycle, logging, metrics],
      swiftSettings: strict),
    // Only who uses CulvertTLS needs OpenSSL.
    .systemLibrary(
      name: "COpenSSL", pkgConfig: "openssl",
      providers: [.apt(["libssl-dev"]), .brew(["openssl@3"])]),
    .target(name: "CCulvertTLS", dependencies: ["COpenSSL"]),
    .target(
      name: "CulvertTLS", dependencies: ["Culvert", "CCulvert", "COpenSSL", "CCulvertTLS"],
      swiftSettings: strict),
    .target(name: "CulvertTesting", dependencies: ["Culvert", "CCulvert"], swiftSettings: strict),
    .target(name: "TestTools", path: "Tests/TestTools", swiftSettings: strict),
    .testTarget(
      name: "CulvertTests",
      dependencies: ["Culvert", "CulvertTLS", "CulvertTesting", "CCulvert", "TestTools"],
      swiftSettings: strict),
    .testTarget(
      name: "CulvertTLSTests",
      dependencies: ["CulvertTLS", "Culvert", "CulvertTesting", "CCulvert", "TestTools"],
      swiftSettings: strict),
  ]
)
