# SPDX-License-Identifier: Apache-2.0
# Counts what a time limit costs: instructions (callgrind) and allocations (a preloaded counter), without the work itself.
#   python3 Benchmarks/timeouts.py COMMAND [--requests N]      prints a line for each way, and fails if a race is cheaper

import argparse
import os
import shlex
import subprocess
import sys

sys.dont_write_bytecode = True
from counting import Allocations, Instructions
from harness import main

WAYS = ("none", "withTimeout", "race", "standardRace")


def instructions(command):
  with Instructions(command) as counting:
    run([*counting.wrapper, *shlex.split(counting.command)])
    return counting.total()


def allocations(command):
  with Allocations() as counting:
    run(command, env={**os.environ, **counting.environment})
    return sum(counting.totals().values())


def run(command, **how):
  subprocess.run(command, stdout=subprocess.DEVNULL, check=True, timeout=300, **how)


def measure():
  parser = argparse.ArgumentParser(description="what a time limit costs")
  parser.add_argument("program", help="the example `timeouts`")
  parser.add_argument("--requests", type=int, default=5000)
  options = parser.parse_args()
  costs = {}
  for way in WAYS:
    def each(count):
      commands = [[options.program, "--way", way, "--requests", str(n * options.requests)] for n in (1, 2)]
      once, twice = map(count, commands)
      return (twice - once) / options.requests

    costs[way] = each(instructions), each(allocations)
  work = costs.pop("none")
  print(f"{'':14} instructions  allocations")
  for way, cost in costs.items():
    print(f"{way:14} {cost[0] - work[0]:12.0f} {cost[1] - work[1]:12.1f}")
  return all(costs["withTimeout"][i] < costs[way][i] for i in (0, 1) for way in ("race", "standardRace"))


if __name__ == "__main__":
  main(measure)
