// SPDX-License-Identifier: Apache-2.0
// How each fact is looked at: the list. The checks themselves are in the files beside this one.

/// One fact, and how it is looked at: throws `Unmet` with what was seen, or whatever the stream threw.
struct ConformanceCheck: Sendable {
  typealias Body = @Sendable (Scene) async throws -> Void

  let fact: StreamConformance.Fact
  /// It closes an end of its own accord.
  var isOfClosing = false
  /// It uses both directions.
  var isOfTwoWays = false
  let body: Body

  private init(_ fact: StreamConformance.Fact, _ body: @escaping Body) {
    self.fact = fact
    self.body = body
  }

  private static func closing(_ fact: StreamConformance.Fact, _ body: @escaping Body) -> Self {
    var check = Self(fact, body)
    check.isOfClosing = true
    return check
  }

  private static func twoWays(
    _ fact: StreamConformance.Fact, _ body: @escaping @Sendable (Scene, _ back: Scene) async throws -> Void
  ) -> Self {
    var check = Self(fact) { scene in
      guard let back = scene.back else { return }
      try await body(scene, Scene(way: back, back: scene.way, bytes: scene.bytes))
    }
    check.isOfTwoWays = true
    return check
  }

  /// In the order of the report.
  static let all: [Self] = [
    Self(.emptyWrite) { try await $0.emptyWrite() },
    Self(.order) { try await $0.order() },
    Self(.fullWaits) { try await $0.fullWaits() },
    Self(.wholeWrites) { try await $0.wholeWrites() },
    Self(.cancelledWrite) { try await $0.cancelledWrite() },
    Self(.cancelledTurn) { try await $0.cancelledTurn() },
    Self(.writeOfCancelled) { try await $0.writeOfCancelled() },
    Self(.readWaits) { try await $0.readWaits() },
    Self(.noRoom) { try await $0.noRoom() },
    Self(.appends) { try await $0.appends() },
    Self(.cancelledRead) { try await $0.cancelledRead() },
    Self(.readOfCancelled) { try await $0.readOfCancelled() },
    Self(.shutdownDelivers) { try await $0.shutdownDelivers() },
    Self(.endStays) { try await $0.endStays() },
    Self(.endWakes) { try await $0.endWakes() },
    Self(.writeAfterShutdown) { try await $0.writeAfterShutdown() },
    closing(.closeDelivers) { try await $0.closeDelivers() },
    closing(.closeWakesReader) { try await $0.closeWakesReader() },
    closing(.closeWakesWriter) { try await $0.closeWakesWriter() },
    closing(.closedStays) { try await $0.closedStays() },
    closing(.peerGone) { try await $0.peerGone() },
    closing(.peerGoneWakes) { try await $0.peerGoneWakes() },
    twoWays(.halfClose) { try await $0.halfClose(back: $1) },
    twoWays(.bothWays) { try await $0.bothWays(back: $1) },
    twoWays(.readHoldsUpNothing) { try await $0.readHoldsUpNothing(back: $1) },
  ]
}
