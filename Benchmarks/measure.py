# SPDX-License-Identifier: Apache-2.0
# Compares a server's CPU time per request with the C epoll reference, server on CPU 0 and load on CPU 1.
# Each round starts both servers afresh and gives them load in turns, in short slices of alternating order:
# a machine's speed drifts within seconds, so only neighbouring slices compare. Exits 1 if the ratio B/A is
# surely (lower end of the 95% interval) above --max-ratio.
#   python3 Benchmarks/measure.py --server 'COMMAND' [--max-ratio 1.15]

import argparse
import contextlib
import random
import sys
import time
from statistics import median

sys.dont_write_bytecode = True
from harness import REFERENCE, SERVER_CPU, Failure, Server, busy, main


def parse():
  parser = argparse.ArgumentParser(description="CPU time per request against the C epoll reference")
  parser.add_argument("--server", required=True, help="server B; prints `listening on HOST:PORT`")
  parser.add_argument("--reference", default=REFERENCE, help="server A (default: the C epoll server)")
  parser.add_argument("--rounds", type=int, default=15)
  parser.add_argument("--seconds", type=float, default=2, help="of load, per server and round")
  parser.add_argument("--slice", type=float, default=0.1, help="seconds of load before the other's turn")
  parser.add_argument("--warm-up", type=float, default=0.3, help="seconds of load before the first slice")
  parser.add_argument("--connections", type=int, default=64)
  parser.add_argument("--size", type=int, default=64)
  parser.add_argument("--max-ratio", type=float)
  return parser.parse_args()


class Contender:
  """One fresh server with its load generator, and what its slices of load have added up to."""

  def __init__(self, command, options, stack):
    self.server = stack.enter_context(Server(command))
    extent = ("--size", options.size, "--steps")
    self.generator = stack.enter_context(self.server.connected(options.connections, *extent))
    self.requests = self.total = self.user = self.elapsed = self.others = 0

  def load(self, seconds):
    self.generator.stdin.write(f"{seconds}\n")
    self.generator.stdin.flush()
    result = dict(pair.split("=") for pair in self.generator.stdout.readline().split())
    if not result or result["errors"] != "0" or result["mismatches"] != "0":
      raise Failure(f"load failed against {self.server.command}: {result}")
    return int(result["requests"])

  def run_slice(self, seconds):
    start, busy_before, (total_before, user_before) = time.monotonic(), busy(SERVER_CPU), self.server.cpu()
    self.requests += self.load(seconds)
    total, user = self.server.cpu()
    self.total += total - total_before
    self.user += user - user_before
    self.others += busy(SERVER_CPU) - busy_before - (total - total_before)
    self.elapsed += time.monotonic() - start

  def summary(self):
    return {"total": self.total * 1e6 / self.requests, "user": self.user * 1e6 / self.requests,
            "rate": self.requests / self.elapsed, "others": max(0, self.others) / self.elapsed}


def run_round(index, options):
  with contextlib.ExitStack() as stack:
    contenders = [Contender(command, options, stack) for command in (options.reference, options.server)]
    for contender in contenders:
      contender.load(options.warm_up)
    for number in range(max(1, round(options.seconds / options.slice))):
      for contender in contenders if (index + number) % 2 == 0 else reversed(contenders):
        contender.run_slice(options.slice)
    return dict(zip("AB", (contender.summary() for contender in contenders)))


def interval_of_median(values, draws=10000, seed=1):
  """95% bootstrap interval of the median; seeded, so the same rounds always give the same interval."""
  source = random.Random(seed)
  medians = sorted(median(source.choices(values, k=len(values))) for _ in range(draws))
  return medians[int(draws * 0.025)], medians[int(draws * 0.975) - 1]


def run_rounds(options):
  rounds = []
  print("round  A us/req  B us/req    B/A  A user  B user   A req/s   B req/s  others")
  for index in range(options.rounds):
    result = run_round(index, options)
    a, b = result["A"], result["B"]
    rounds.append(result)
    print(f"{index + 1:5} {a['total']:9.3f} {b['total']:9.3f} {b['total'] / a['total']:6.3f}"
          f" {a['user']:7.3f} {b['user']:7.3f} {a['rate']:9.0f} {b['rate']:9.0f}"
          f" {max(a['others'], b['others']):7.0%}", flush=True)
  return rounds


def summarize(rounds, max_ratio):
  for name, label in (("A", "reference"), ("B", "server")):
    total, user, rate = (median(r[name][key] for r in rounds) for key in ("total", "user", "rate"))
    print(f"{name} ({label}): median {total:.3f} us/request, of it user {user:.3f}; {rate:.0f} requests/s")
  ratios = [r["B"]["total"] / r["A"]["total"] for r in rounds]
  low, high = interval_of_median(ratios)
  print(f"ratio B/A: median {median(ratios):.3f}, min {min(ratios):.3f}, max {max(ratios):.3f}, "
        f"95% interval {low:.3f} ... {high:.3f}")
  others = median(max(r["A"]["others"], r["B"]["others"]) for r in rounds)
  if others > 0.05:
    print(f"note: other programs took {others:.0%} of the server's CPU; measure again on a quiet machine")
  if max_ratio is None:
    return True
  print(f"bound {max_ratio:g}: {'held' if low <= max_ratio else 'EXCEEDED'}")
  return low <= max_ratio


def run():
  options = parse()
  rounds = run_rounds(options)
  print()
  return summarize(rounds, options.max_ratio)


if __name__ == "__main__":
  main(run)
