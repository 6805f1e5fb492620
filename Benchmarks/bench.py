# SPDX-License-Identifier: Apache-2.0
# Measures Culvert beside C, tokio, SwiftNIO and FlyingSocks, and writes the results page: DOCS/benchmarks.md, its charts, and
# all that was measured as DOCS/benchmarks/results.json. Exits 1 if a bound is surely exceeded.
#   python3 Benchmarks/bench.py [--scale 0.2] [--only TEXT]... [--docs FOLDER] [--page]

import argparse
import json
import os
import subprocess
import sys
import time

sys.dont_write_bytecode = True
import harness
import page
from counts import counts_of
from harness import Failure, Server, key_values, main
from paired import run_round
from servers import ECHOES, EXAMPLES, SERVERS, SWIFT
from workloads import IDLE, WORKLOADS

IDLE_CONNECTIONS = 10_000


def parse():
  parser = argparse.ArgumentParser(description="Culvert beside C and its peers, and the page that says so")
  parser.add_argument("--scale", type=float, default=1, help="so many times the usual rounds (default: %(default)s)")
  parser.add_argument("--only", action="append", help="only what has this in its name; the rest stays as it was measured")
  parser.add_argument("--docs", default=os.path.join(harness.ROOT, "docs"))
  parser.add_argument("--page", action="store_true", help="measure nothing: make the page from the results that are there")
  parser.add_argument("--scheduling", choices=harness.SCHEDULING, default="nice", help="of servers and load, if allowed")
  return parser.parse_args()


class Run:
  """What is being measured, and where it is kept."""

  def __init__(self, options):
    self.options = options
    self.folder = os.path.join(options.docs, "benchmarks")
    self.file = os.path.join(self.folder, "results.json")
    self.results = {}
    if (options.only or options.page) and os.path.exists(self.file):
      with open(self.file) as file:
        self.results = json.load(file)

  def wants(self, name):
    return not self.options.only or any(text in name for text in self.options.only)

  def rounds(self, usual):
    return max(2, round(usual * self.options.scale))

  def keep(self, name, value):
    """Kept at once: a run that is broken off has not been in vain."""
    self.results[name] = {"date": time.strftime("%Y-%m-%d"), **value}
    os.makedirs(self.folder, exist_ok=True)
    with open(self.file, "w") as file:
      json.dump(self.results, file, indent=1)
      file.write("\n")


def check_echo(candidate):
  """That a server sends back what it gets, also what is larger than any buffer, before it is measured."""
  extent = ("--lines",) if "lines" in candidate.command else ()
  with Server(candidate.command) as server:
    server.load(2, 300_000 if not extent else 64, "--requests", 8, *extent)


def present(names, missing):
  """{name: candidate} of those that are built and echo; the reasons of the others go to `missing`. Ours must be there."""
  found = {}
  for name in names:
    candidate = SERVERS[name]
    try:
      if not candidate.is_here():
        raise Failure(f"not built here: {candidate.label}")
      if name in ECHOES or candidate.command.endswith("culvert-echo"):
        check_echo(candidate)
      found[name] = candidate
    except Failure as failure:
      if not candidate.command.startswith((f"{SWIFT}/nio", f"{SWIFT}/flying")) and "tokio" not in name:
        raise
      missing[name] = str(failure)
  return found


def measure(workload, run):
  missing = {}
  candidates = present(workload.servers, missing)
  rounds = []
  print(f"\n{workload.title}: us of CPU per {workload.unit}\nround " + "".join(f"{name:>15}" for name in candidates))
  for index in range(run.rounds(workload.rounds)):
    rounds.append(run_round(index, workload, candidates))
    print(f"{index + 1:5} " + "".join(f"{rounds[-1][name]['cpu']:15.3f}" for name in candidates), flush=True)
  run.keep(workload.key, {"rounds": rounds, "missing": missing})


def measure_idle(run):
  """Memory that 10,000 connections take that have sent nothing, their tasks included."""
  missing = {}
  candidates = present(IDLE, missing)
  samples = {name: [] for name in candidates}
  print("\nbytes per idle connection")
  for _ in range(run.rounds(2)):
    for name, candidate in candidates.items():
      with Server(candidate.command) as server:
        server.load(1, 64, "--requests", 10)
        before = server.memory()
        with server.connected(IDLE_CONNECTIONS, "--idle", "--hold", 3600):
          time.sleep(0.2)
          after = server.memory()
      samples[name].append({kind: round((after[kind] - before[kind]) / IDLE_CONNECTIONS) for kind in after})
      print(f"  {name:15} {samples[name][-1]}", flush=True)
  run.keep("idle", {"samples": samples, "missing": missing})


def program_output(*command):
  done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=300, preexec_fn=harness.prepared())
  if done.returncode != 0:
    raise Failure(f"{command[0]} failed")
  return done.stdout


def measure_rates(run):
  samples = {name: [] for name in ("culvert", "nio")}
  print("\nnanoseconds of a timer, a task on another thread and back, and one of a thousand such tasks")
  for _ in range(run.rounds(5)):
    for name in samples:
      printed = program_output(f"{SWIFT}/{name}-rates")
      samples[name].append({key: int(value) for key, value in key_values(printed).items()})
      print(f"  {name:15} {samples[name][-1]}", flush=True)
  run.keep("rates", {"samples": samples})


def measure_segments(run):
  ratios = []
  for _ in range(run.rounds(5)):
    ratios.append(float(program_output(f"{EXAMPLES}/udp-send").rsplit("ratio:", 1)[1]))
  print(f"\nsegments in the kernel, over one by one: {ratios}")
  run.keep("segments", {"ratios": ratios})


def count_all(run):
  """What does not depend on time, for the page; `make counts` holds it to its bounds."""
  missing, counted = {}, {}
  print("\ncounts")
  for name, candidate in present(ECHOES, missing).items():
    counted[name] = counts_of(candidate.command)
    print(f"  {name:15} {counted[name]}", flush=True)
  run.keep("counts", {"servers": counted, "missing": missing})


def body():
  options = parse()
  run = Run(options)
  if not options.page:
    steps = [(workload.key, lambda workload=workload: measure(workload, run)) for workload in WORKLOADS]
    steps += [("idle", lambda: measure_idle(run)), ("rates", lambda: measure_rates(run)),
              ("segments", lambda: measure_segments(run)), ("counts", lambda: count_all(run))]
    scheduling = options.scheduling if harness.may_schedule(options.scheduling) else "normal"
    for name, step in steps:
      if run.wants(name):
        harness.scheduling = scheduling if name != "counts" else "normal"
        begun = time.monotonic()
        step()
        print(f"  {time.monotonic() - begun:.0f} s", flush=True)
    run.keep("run", {"scheduling": scheduling, **page.machine()})
  verdicts = page.write(run.results, options.docs)
  return all(verdict["held"] for verdict in verdicts)


if __name__ == "__main__":
  main(body)
