// swift-tools-version: 6.2
// SPDX-License-Identifier: Apache-2.0
// The servers that are measured beside the examples: a package of its own, so that nobody else resolves the peers' packages.

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
let nio = [
  Target.Dependency.product(name: "NIOCore", package: "swift-nio"),
  Target.Dependency.product(name: "NIOPosix", package: "swift-nio"),
]
let flyingSocks = Target.Dependency.product(name: "FlyingSocks", package: "FlyingFox")

let package = Package(
  name: "benchmarks",
  platforms: [.macOS(.v15)],
  dependencies: [
    .package(name: "culvert", path: ".."),
    // The versions that the results page names.
    .package(url: "https://github.com/apple/swift-nio", exact: "2.101.2"),
    .package(url: "https://github.com/apple/swift-nio-ssl", exact: "2.37.6"),
    .package(url: "https://github.com/swhitty/FlyingFox", exact: "0.27.1"),
  ],
  targets: [
    .executableTarget(name: "culvert-echo", dependencies: [culvert], swiftSettings: strict),
    .executableTarget(name: "culvert-rates", dependencies: [culvert], swiftSettings: strict),
    .executableTarget(name: "nio-echo", dependencies: nio, swiftSettings: strict),
    .executableTarget(
      name: "nio-tls-echo", dependencies: nio + [.product(name: "NIOSSL", package: "swift-nio-ssl")],
      swiftSettings: strict),
    .executableTarget(name: "nio-rates", dependencies: nio, swiftSettings: strict),
    .executableTarget(name: "flyingsocks-echo", dependencies: [flyingSocks], swiftSettings: strict),
  ]
)
