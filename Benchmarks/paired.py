# SPDX-License-Identifier: Apache-2.0
# Paired rounds: each starts all servers of a workload afresh and gives them load in turns, in short slices whose order
# changes. A machine's speed drifts within seconds, so only neighbouring slices compare: what counts is the ratio within a
# round, the median of it, and how sure that median is.

import contextlib
import random
import time
from statistics import median

import harness
from harness import SERVER_CPU, Failure, Server, busy, key_values

DRAWS = 4000


class Contender:
  """One fresh server with its load generator, and what its slices of load have added up to."""

  def __init__(self, candidate, workload, stack):
    self.server = stack.enter_context(Server(candidate.command))
    self.generator = stack.enter_context(
      self.server.generator(workload.program, *workload.arguments(candidate), holds=workload.holds))
    self.unit = workload.unit
    self.units = self.total = self.user = self.elapsed = self.others = 0

  def load(self, seconds):
    self.generator.stdin.write(f"{seconds}\n")
    self.generator.stdin.flush()
    result = key_values(self.generator.stdout.readline())
    if not result or result["errors"] != "0" or result["mismatches"] != "0":
      raise Failure(f"load failed against {self.server.command}: {result}")
    return int(result["bytes"]) / 2**20 if self.unit == "MiB" else int(result["requests"])

  def run_slice(self, seconds):
    start, busy_before, (total_before, user_before) = time.monotonic(), busy(SERVER_CPU), self.server.cpu()
    self.units += self.load(seconds)
    total, user = self.server.cpu()
    self.total += total - total_before
    self.user += user - user_before
    self.others += busy(SERVER_CPU) - busy_before - (total - total_before)
    self.elapsed += time.monotonic() - start

  def summary(self):
    return {"cpu": round(self.total * 1e6 / self.units, 4), "user": round(self.user * 1e6 / self.units, 4),
            "rate": round(self.units / self.elapsed, 1), "others": round(max(0, self.others) / self.elapsed, 3)}


def run_round(index, workload, candidates, contender=Contender):
  """{name: summary} of one round with these {name: candidate}."""
  with contextlib.ExitStack() as stack:
    contenders = {name: contender(candidate, workload, stack) for name, candidate in candidates.items()}
    for each in contenders.values():
      each.load(workload.slice)
    for number in range(workload.slices):
      for each in turns(list(contenders.values()), index + number):
        each.run_slice(workload.slice)
    return {name: each.summary() for name, each in contenders.items()}


def turns(items, index):
  """The items, begun at another one each time, and every other time backwards."""
  start = index // 2 % len(items)
  order = items[start:] + items[:start]
  return order if index % 2 == 0 else order[::-1]


def interval(draw, draws=DRAWS, seed=1):
  """95 % bootstrap interval of what `draw(source)` gives; seeded, so that the same rounds always give the same one."""
  source = random.Random(seed)
  values = sorted(draw(source) for _ in range(draws))
  return values[int(draws * 0.025)], values[int(draws * 0.975) - 1]


def resampled_median(values):
  return lambda source: median(source.choices(values, k=len(values)))


def ratio_of(values):
  """Median, interval and spread of paired ratios."""
  low, high = interval(resampled_median(values))
  return {"median": median(values), "low": low, "high": high, "min": min(values), "max": max(values)}


def ratio_of_medians(above, below):
  """The same for the median of `above` over that of `below`, which were not measured in the same rounds."""
  first, second = resampled_median(above), resampled_median(below)
  low, high = interval(lambda source: first(source) / second(source))
  return {"median": median(above) / median(below), "low": low, "high": high}


def holds(ratio, at_most=None, at_least=None):
  """A bound is exceeded only if that is sure: if the whole interval is on its wrong side."""
  return ratio["low"] <= at_most if at_most is not None else ratio["high"] >= at_least
