// swift-tools-version: 6.2
// SPDX-License-Identifier: Apache-2.0
// A user of Culvert with the traits that TRAITS names (a list with commas), and tests of those; scripts/traits runs it.

import PackageDescription

let strict: [SwiftSetting] =
  [
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .strictMemorySafety(),
  ] + (Context.environment["WERROR"] == nil ? [] : [.treatAllWarnings(as: .error)])

let culvert = Target.Dependency.product(name: "Culvert", package: "culvert")
let testing = Target.Dependency.product(name: "CulvertTesting", package: "culvert")

let log = Package.Dependency.package(url: "https://github.com/apple/swift-log", from: "1.16.2")

/// What a trait's tests depend on, and where that comes from.
let bridges: [String: (products: [Target.Dependency], package: Package.Dependency)] = [
  "ServiceLifecycle": (
    [
      .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
      .product(name: "ServiceLifecycleTestKit", package: "swift-service-lifecycle"),
      .product(name: "UnixSignals", package: "swift-service-lifecycle"),
      .product(name: "Logging", package: "swift-log"),
    ], .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0")
  ),
  "Logging": (
    [.product(name: "Logging", package: "swift-log")],
    log
  ),
  "Metrics": (
    [
      .product(name: "Metrics", package: "swift-metrics"),
      .product(name: "MetricsTestKit", package: "swift-metrics"),
    ], .package(url: "https://github.com/apple/swift-metrics", from: "2.13.0")
  ),
]

let traits = (Context.environment["TRAITS"] ?? "").split(separator: ",").map(String.init)
let used = traits.filter { bridges[$0] != nil }

let package = Package(
  name: "traits",
  platforms: [.macOS(.v15)],
  dependencies: [.package(name: "culvert", path: "../..", traits: Set(traits.map { .trait(name: $0) }))]
    + used.compactMap { bridges[$0]?.package }
    + (used.contains("ServiceLifecycle") && !used.contains("Logging") ? [log] : []),
  targets: [
    .testTarget(name: "EchoTests", dependencies: [culvert, testing], swiftSettings: strict)
  ]
    + used.map { trait in
      .testTarget(
        name: "\(trait)Tests", dependencies: [culvert, testing] + (bridges[trait]?.products ?? []),
        swiftSettings: strict)
    }
)
