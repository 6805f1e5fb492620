// swift-tools-version: 6.2
// SPDX-License-Identifier: Apache-2.0
// Software that was there before, on Culvert: an HTTP server, PostgreSQL's and Redis's clients. A package of its own, so that the
// other examples need neither its packages nor its C libraries.

import PackageDescription

/// The same rules as for the library.
let strict: [SwiftSetting] =
  [
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .strictMemorySafety(),
  ] + (Context.environment["WERROR"] == nil ? [] : [.treatAllWarnings(as: .error)])

let culvert = Target.Dependency.product(name: "Culvert", package: "culvert")
let chat = Target.Dependency.product(name: "ChatServing", package: "examples")
let testing = Target.Dependency.product(name: "CulvertTesting", package: "culvert")
let arguments = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")
let subprocess = Target.Dependency.product(name: "Subprocess", package: "swift-subprocess")
let http = Target.Dependency.product(name: "FlyingFox", package: "FlyingFox")
let sockets = Target.Dependency.product(name: "FlyingSocks", package: "FlyingFox")

let package = Package(
  name: "existing",
  platforms: [.macOS(.v15)],
  products: [
    .library(name: "FlyingFoxCulvert", targets: ["FlyingFoxCulvert"]),
    .executable(name: "http-echo", targets: ["http-echo"]),
    .executable(name: "listen-notify", targets: ["listen-notify"]),
    .executable(name: "web-chat", targets: ["web-chat"]),
  ],
  dependencies: [
    .package(name: "culvert", path: "../.."),
    .package(name: "examples", path: ".."),
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
    .package(url: "https://github.com/swiftlang/swift-subprocess", from: "1.0.2"),
    .package(url: "https://github.com/swhitty/FlyingFox", from: "0.27.1"),
  ],
  targets: [
    .target(name: "CEpoll"),
    // Without pkg-config, whose flags for it the package manager warns of.
    .systemLibrary(name: "CHiredis", providers: [.apt(["libhiredis-dev"])]),
    .systemLibrary(name: "CLibpq", pkgConfig: "libpq", providers: [.apt(["libpq-dev"]), .brew(["libpq"])]),
    .target(name: "FlyingFoxCulvert", dependencies: ["CEpoll", culvert, sockets], swiftSettings: strict),
    .executableTarget(
      name: "http-echo", dependencies: ["FlyingFoxCulvert", culvert, http, sockets, arguments],
      swiftSettings: strict),
    .executableTarget(
      name: "listen-notify", dependencies: ["CLibpq", culvert, arguments], swiftSettings: strict),
    .target(name: "ChatCluster", dependencies: ["CHiredis", chat, culvert], swiftSettings: strict),
    .executableTarget(
      name: "web-chat",
      dependencies: ["ChatCluster", "FlyingFoxCulvert", chat, culvert, http, sockets, arguments],
      resources: [.embedInCode("index.html")], swiftSettings: strict),
    .testTarget(
      name: "ExistingTests",
      dependencies: [
        "http-echo", "listen-notify", "web-chat", "FlyingFoxCulvert", culvert, testing, sockets, subprocess,
      ], swiftSettings: strict),
  ]
)
