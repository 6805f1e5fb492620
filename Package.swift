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

let package = Package(
  name: "culvert",
  platforms: [.macOS(.v15)],
  products: [
    .library(name: "Culvert", targets: ["Culvert"])
  ],
  traits: [
    .trait(
      name: "FaultInjection",
      description: "System calls can be made to fail, for this project's own tests. Never in a release build."
    )
  ],
  targets: [
    .systemLibrary(
      name: "CLibuv", pkgConfig: "libuv",
      providers: [.apt(["libuv1-dev"]), .brew(["libuv"])]),
    .target(name: "CCulvert"),
    .target(name: "Culvert", dependencies: ["CLibuv", "CCulvert"], swiftSettings: strict),
    .testTarget(name: "CulvertTests", dependencies: ["Culvert", "CCulvert"], swiftSettings: strict),
  ]
)
