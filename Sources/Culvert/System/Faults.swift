// SPDX-License-Identifier: Apache-2.0
// Faults on purpose: what the kernel may answer at any time, on demand. Compiled only with the trait FaultInjection;
// without it the names below are all that is left, and nothing asks for them.

import CCulvert
import Synchronization

/// The calls that can be made to fail: this library's system calls, and those of libuv's that can fail.
package enum SystemCall: String, CaseIterable, Sendable {
  case accept, bind, close, connect, fcntl, fstat, getaddrinfo, getpeername, getsockname, getsockopt, listen
  case open, pipe, poll, read, write
  case receive, receiveBatch, send, sendBatch, setsockopt, shutdown, socket
  case chmod, lstat, unlink
  case uvAsyncInit, uvLoopInit, uvPollInit, uvSignalInit
}

#if FaultInjection

  package enum Faults {
    /// What goes wrong.
    package enum Fault: Sendable {
      /// The call is not made, and reports this error number.
      case fail(Int32)
      /// The call is made, and reports this error number all the same: what a signal does to connect(2) and close(2).
      case failAfterwards(Int32)
      /// The call may transfer that many bytes.
      case atMost(Int)

      fileprivate var isTransfer: Bool {
        if case .atMost = self { return true }
        return false
      }
    }

    /// The calling task's; its children and what it spawns have it too. It stands alone.
    @TaskLocal package static var script: Script?

    /// For every call of the process, when the environment has `CULVERT_CHAOS_SEED`: what a correct program never notices.
    static let everywhere: Script? = {
      guard let text = unsafe getenv("CULVERT_CHAOS_SEED"), let seed = unsafe UInt64(String(cString: text))
      else {
        return nil
      }
      let script = Script(seed: seed)
      let restartable = Set(SystemCall.allCases).subtracting([.close, .connect])
        .filter { !$0.rawValue.hasPrefix("uv") }
      script.add(.fail(EINTR), to: restartable, chance: 0.1)
      script.add(.failAfterwards(EINTR), to: [.close, .connect], chance: 0.1)
      script.add(
        .fail(EAGAIN), to: [.accept, .read, .receive, .receiveBatch, .send, .sendBatch], chance: 0.1)
      script.add(.atMost(1), to: [.read, .receive, .send], chance: 0.05)
      _ = atexit { Faults.everywhere?.report() }
      return script
    }()

    private static func next(_ call: SystemCall, isTransfer: Bool) -> Fault? {
      (script ?? everywhere)?.next(call, isTransfer: isTransfer)
    }

    /// What this call is to report, or `nil` if it is to be made as usual.
    static func forced(_ call: SystemCall, _ make: () -> SysResult) -> SysResult? {
      switch next(call, isTransfer: false) {
      case .fail(let errno): return SysResult(raw: -Int(errno))
      case .failAfterwards(let errno):
        let result = make()
        return result.failed && result.errno != EINPROGRESS ? result : SysResult(raw: -Int(errno))
      case .atMost, nil: return nil
      }
    }

    static func room(_ call: SystemCall, _ count: Int) -> Int {
      if case .atMost(let most) = next(call, isTransfer: true) { return min(most, count) }
      return count
    }
  }

  extension Faults {
    /// Which calls get which fault, how often; seeded, so that a run can be had again.
    package final class Script: Sendable {
      private struct Rule {
        let fault: Fault
        let calls: Set<SystemCall>
        /// How many of the calls are still to be let alone.
        var spared: Int
        /// How often it is still to happen; `nil` for ever.
        var left: Int?
        /// Of a call to which it could happen, in 0...1.
        let chance: Double
      }
      private struct State {
        var rules: [Rule] = []
        var random: UInt64
        var injected: [SystemCall: Int] = [:]
      }
      private let state: Locked<State>

      package init(seed: UInt64) {
        state = Locked(State(random: seed))
      }

      /// Lets `fault` happen to `calls`, but for the first `after` of them: `times` times, or always; by `chance` only.
      package func add(
        _ fault: Fault, to calls: Set<SystemCall>, times: Int? = nil, after: Int = 0, chance: Double = 1
      ) {
        let rule = Rule(fault: fault, calls: calls, spared: after, left: times, chance: chance)
        state.withLock { $0.rules.append(rule) }
      }

      /// For the end of a run.
      fileprivate func report() {
        let counts = injected.sorted { $0.value > $1.value }.map { "\($0.key) \($0.value)" }
        print("faults: \(injected.values.reduce(0, +)): \(counts.joined(separator: ", "))")
      }

      /// How often each call got a fault so far.
      package var injected: [SystemCall: Int] { state.withLock { $0.injected } }

      fileprivate func next(_ call: SystemCall, isTransfer: Bool) -> Fault? {
        state.withLock { state in
          for index in state.rules.indices {
            let rule = state.rules[index]
            guard rule.calls.contains(call), rule.left != 0, rule.fault.isTransfer == isTransfer else {
              continue
            }
            if rule.spared > 0 {
              state.rules[index].spared -= 1
              continue
            }
            guard rule.chance >= 1 || Self.draw(&state.random) < rule.chance else { continue }
            state.rules[index].left = rule.left.map { $0 - 1 }
            state.injected[call, default: 0] += 1
            return rule.fault
          }
          return nil
        }
      }

      /// A number in 0..<1 (SplitMix64).
      private static func draw(_ state: inout UInt64) -> Double {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return Double((z ^ (z >> 31)) >> 11) / Double(1 << 53)
      }
    }
  }

#endif
