// swift-tools-version: 6.2
// SPDX-License-Identifier: Apache-2.0
// The examples are a package of their own, so that whoever uses Culvert resolves none of their dependencies.

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
let testing = Target.Dependency.product(name: "CulvertTesting", package: "culvert")
let arguments = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")
let subprocess = Target.Dependency.product(name: "Subprocess", package: "swift-subprocess")

let package = Package(
  name: "examples",
  platforms: [.macOS(.v15)],
  products: [
    .executable(name: "chat", targets: ["chat"]),
    // The chat's parts, for servers that let people in by other doors.
    .library(name: "ChatServing", targets: ["ChatCore", "ChatServing"]),
    .executable(name: "drain", targets: ["drain"]),
    .executable(name: "echo", targets: ["echo"]),
    .executable(name: "hops", targets: ["hops"]),
    .executable(name: "multicast", targets: ["multicast"]),
    .executable(name: "pass-fd", targets: ["pass-fd"]),
    .executable(name: "proxy", targets: ["proxy"]),
    .executable(name: "resolve", targets: ["resolve"]),
    .executable(name: "timeouts", targets: ["timeouts"]),
    .executable(name: "timers", targets: ["timers"]),
    .executable(name: "tls-echo", targets: ["tls-echo"]),
    .executable(name: "udp-echo", targets: ["udp-echo"]),
    .executable(name: "udp-send", targets: ["udp-send"]),
    .executable(name: "watch", targets: ["watch"]),
  ],
  dependencies: [
    .package(name: "culvert", path: ".."),
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
    .package(url: "https://github.com/swiftlang/swift-subprocess", from: "1.0.2"),
  ],
  targets: [
    .target(name: "ChatCore", swiftSettings: strict),
    .target(name: "ChatServing", dependencies: ["ChatCore", culvert], swiftSettings: strict),
    .executableTarget(
      name: "chat", dependencies: ["ChatCore", "ChatServing", culvert, tls, arguments], swiftSettings: strict),
    .executableTarget(name: "drain", dependencies: [culvert, arguments], swiftSettings: strict),
    .executableTarget(name: "echo", dependencies: [culvert, arguments], swiftSettings: strict),
    .executableTarget(name: "hops", dependencies: [culvert], swiftSettings: strict),
    .executableTarget(name: "multicast", dependencies: [culvert, arguments], swiftSettings: strict),
    .executableTarget(name: "pass-fd", dependencies: [culvert, arguments], swiftSettings: strict),
    .executableTarget(name: "proxy", dependencies: [culvert, arguments], swiftSettings: strict),
    .executableTarget(name: "resolve", dependencies: [culvert, arguments], swiftSettings: strict),
    .executableTarget(name: "timeouts", dependencies: [culvert, arguments], swiftSettings: strict),
    .executableTarget(name: "timers", dependencies: [culvert, testing, arguments], swiftSettings: strict),
    .executableTarget(name: "tls-echo", dependencies: [culvert, tls, arguments], swiftSettings: strict),
    .executableTarget(name: "udp-echo", dependencies: [culvert, arguments], swiftSettings: strict),
    .executableTarget(name: "udp-send", dependencies: [culvert], swiftSettings: strict),
    .executableTarget(name: "watch", dependencies: [culvert, arguments], swiftSettings: strict),
    .testTarget(name: "ChatCoreTests", dependencies: ["ChatCore"], swiftSettings: strict),
    .testTarget(
      name: "ChatTests",
      dependencies: [
        "chat", "drain", "echo", "multicast", "pass-fd", "proxy", "resolve", "timers", "udp-echo", "udp-send",
        "watch", culvert, subprocess,
      ], swiftSettings: strict),
  ]
)
