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
let arguments = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")
let subprocess = Target.Dependency.product(name: "Subprocess", package: "swift-subprocess")

let package = Package(
  name: "examples",
  platforms: [.macOS(.v15)],
  products: [
    .executable(name: "chat", targets: ["chat"]),
    .executable(name: "echo", targets: ["echo"]),
  ],
  dependencies: [
    .package(name: "culvert", path: ".."),
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
    .package(url: "https://github.com/swiftlang/swift-subprocess", from: "1.0.2"),
  ],
  targets: [
    .target(name: "ChatCore", swiftSettings: strict),
    .executableTarget(name: "chat", dependencies: ["ChatCore", culvert, arguments], swiftSettings: strict),
    .executableTarget(name: "echo", dependencies: [culvert, arguments], swiftSettings: strict),
    .testTarget(name: "ChatCoreTests", dependencies: ["ChatCore"], swiftSettings: strict),
    .testTarget(name: "ChatTests", dependencies: ["chat", "echo", subprocess], swiftSettings: strict),
  ]
)
