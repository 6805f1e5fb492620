// SPDX-License-Identifier: Apache-2.0
// What is asked of a stream, in words.

extension StreamConformance {
  /// Something that holds of every stream.
  public struct Fact: Hashable, Sendable, CustomStringConvertible {
    /// The fact, as a sentence.
    public let description: String
    private init(_ sentence: String) { description = sentence }

    // MARK: writing

    /// A write of nothing writes nothing.
    public static let emptyWrite = Fact("a write of nothing writes nothing")
    /// What is written arrives in order, whatever the sizes of the pieces.
    public static let order = Fact("what is written arrives in order, whatever the sizes of the pieces")
    /// A write to a full stream waits, and goes on when it is read.
    public static let fullWaits = Fact("a write to a full stream waits, and goes on when it is read")
    /// Writes of several tasks are not interleaved.
    public static let wholeWrites = Fact("writes of several tasks are not interleaved")
    /// A cancelled write says how many bytes went out, and just those arrive.
    public static let cancelledWrite = Fact(
      "a cancelled write says how many bytes went out, and just those arrive")
    /// A write that waits for another one can be cancelled, and writes nothing.
    public static let cancelledTurn = Fact(
      "a write that waits for another one can be cancelled, and writes nothing")
    /// A write of a cancelled task is done or throws `.cancelled`, and says how many bytes went out.
    public static let writeOfCancelled = Fact(
      "a write of a cancelled task is done or throws .cancelled, and says how many bytes went out")

    // MARK: reading

    /// A read that waits is given what comes.
    public static let readWaits = Fact("a read that waits is given what comes")
    /// A read with no room returns 0 and takes nothing.
    public static let noRoom = Fact("a read with no room returns 0 and takes nothing")
    /// A read appends behind what the buffer has, and touches nothing else.
    public static let appends = Fact("a read appends behind what the buffer has, and touches nothing else")
    /// A cancelled read ends, and loses no byte.
    public static let cancelledRead = Fact("a cancelled read ends, and loses no byte")
    /// A read of a cancelled task throws `.cancelled` or gives data, and loses none.
    public static let readOfCancelled = Fact(
      "a read of a cancelled task throws .cancelled or gives data, and loses none")

    // MARK: the end of a direction

    /// What was written before `shutdown()` arrives, and then the end.
    public static let shutdownDelivers = Fact("what was written before shutdown() arrives, and then the end")
    /// The end of the stream is 0, again and again.
    public static let endStays = Fact("the end of the stream is 0, again and again")
    /// A read that waits is woken by the end.
    public static let endWakes = Fact("a read that waits is woken by the end")
    /// A write after `shutdown()` throws `.brokenPipe` or `.closed`.
    public static let writeAfterShutdown = Fact("a write after shutdown() throws .brokenPipe or .closed")
    /// After `shutdown()` the other direction goes on.
    public static let halfClose = Fact("after shutdown() the other direction goes on")

    // MARK: closing

    /// What was written before `close()` arrives, and then the end.
    public static let closeDelivers = Fact("what was written before close() arrives, and then the end")
    /// `close()` wakes who reads with `.closed`.
    public static let closeWakesReader = Fact("close() wakes who reads with .closed")
    /// `close()` wakes who writes with `.closed`.
    public static let closeWakesWriter = Fact("close() wakes who writes with .closed")
    /// Closing twice is nothing, and reading and writing after it throws `.closed`.
    public static let closedStays = Fact(
      "closing twice is nothing, and reading and writing after it throws .closed")
    /// A peer that is gone is an error for who writes: `.brokenPipe` or `.connectionReset`.
    public static let peerGone = Fact(
      "a peer that is gone is an error for who writes: .brokenPipe or .connectionReset")
    /// A peer that goes wakes who writes, with `.brokenPipe` or `.connectionReset`.
    public static let peerGoneWakes = Fact(
      "a peer that goes wakes who writes, with .brokenPipe or .connectionReset")

    // MARK: two directions

    /// Both directions at once carry all.
    public static let bothWays = Fact("both directions at once carry all")
    /// A read that waits holds up no write at the same end.
    public static let readHoldsUpNothing = Fact("a read that waits holds up no write at the same end")
  }
}

extension StreamConformance.Fact {
  /// Every fact there is.
  public static var all: Set<Self> { Set(ConformanceCheck.all.map(\.fact)) }
  /// Those that call `shutdown()`: not to be asked of what can't end one of its directions alone.
  public static let ofShutdown: Set<Self> = [
    .shutdownDelivers, .endStays, .endWakes, .writeAfterShutdown, .halfClose,
  ]
}
