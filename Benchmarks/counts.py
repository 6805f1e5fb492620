# SPDX-License-Identifier: Apache-2.0
# Counts what one request costs a server, where CPU time would be too noisy to hold a bound: system calls
# (strace), allocations (a preloaded counter), instructions (callgrind), and the CPU an idle server uses.
# Each count runs R and then 2R requests on fresh servers; the difference / R is free of start-up cost.
#   python3 Benchmarks/counts.py --server 'COMMAND' [--max-epoll-ctl 0] [--max-mallocs 0]

import argparse
import os
import re
import struct
import sys
import tempfile
import time

sys.dont_write_bytecode = True
from harness import BUILD, Failure, Server, main

MALLOC_KINDS = ("malloc", "calloc", "realloc", "aligned")


def parse():
  parser = argparse.ArgumentParser(description="exact counts per request, with bounds")
  parser.add_argument("--server", required=True, help="an echo server; prints `listening on HOST:PORT`")
  parser.add_argument("--unread-server", help="a server that accepts and never reads, for the idle count")
  parser.add_argument("--parts", default="syscalls,mallocs,idle", help="default: %(default)s")
  parser.add_argument("--instructions", action="store_true", help="also count instructions (slow)")
  parser.add_argument("--requests", type=int, default=20000)
  parser.add_argument("--connections", type=int, default=64)
  parser.add_argument("--size", type=int, default=64)
  parser.add_argument("--idle-connections", type=int, default=1000)
  parser.add_argument("--idle-seconds", type=float, default=5)
  parser.add_argument("--max-epoll-ctl", type=float, help="per request; io_uring_enter counts as well")
  parser.add_argument("--max-syscalls", type=float, help="per request")
  parser.add_argument("--max-mallocs", type=float, help="per request")
  parser.add_argument("--max-instructions", type=float, help="per request")
  parser.add_argument("--max-idle-percent", type=float, default=1.0)
  parser.add_argument("--tolerance", type=float, default=0.001, help="added to each bound per request")
  options = parser.parse_args()
  options.parts = [part for part in options.parts.split(",") if part]
  if unknown := set(options.parts) - {"syscalls", "mallocs", "idle"}:
    parser.error(f"unknown part: {', '.join(unknown)}")
  return options


class Report:
  """Prints tables and remembers whether every bound held."""

  def __init__(self, tolerance):
    self.tolerance = tolerance
    self.held = True

  def table(self, title, counts):
    print(f"\n{title}")
    for name, value in sorted(counts.items(), key=lambda item: -item[1]):
      if abs(value) >= 0.00005:
        print(f"  {name:18} {value:12.4f}")

  def bound(self, name, value, maximum, tolerance=None):
    allowed = "" if maximum is None else f"  at most {maximum:g}"
    over = maximum is not None and value > maximum + (self.tolerance if tolerance is None else tolerance)
    verdict = "" if maximum is None else "  EXCEEDED" if over else "  held"
    print(f"  {name:18} {value:12.4f}{allowed}{verdict}", flush=True)
    self.held = self.held and not over


def per_request(count, options):
  """count(requests) gives a dictionary of totals for a server that answered that many."""
  once, twice = count(options.requests), count(2 * options.requests)
  return {name: (twice[name] - once.get(name, 0)) / options.requests for name in twice}


def serve(options, requests, **how):
  with Server(options.server, **how) as server:
    server.load(options.connections, options.size, "--requests", requests)


def count_syscalls(options, requests):
  with tempfile.NamedTemporaryFile("r") as summary:
    serve(options, requests, tracer=["strace", "-f", "-c", "-U", "name,calls", "-o", summary.name])
    rows = re.findall(r"^(\w+)\s+(\d+)\s*$", summary.read(), re.MULTILINE)
  counts = {name: int(calls) for name, calls in rows if name != "total"}
  if not counts:
    raise Failure("strace gave no summary")
  return counts


def count_mallocs(options, requests):
  with tempfile.NamedTemporaryFile() as counts:
    counts.write(bytes(8 * len(MALLOC_KINDS)))
    counts.flush()
    preload = {"LD_PRELOAD": os.path.join(BUILD, "malloc_count.so"), "MALLOC_COUNT_FILE": counts.name}
    serve(options, requests, environment=preload)
    counts.seek(0)
    values = dict(zip(MALLOC_KINDS, struct.unpack(f"{len(MALLOC_KINDS)}Q", counts.read())))
  # All zero: the library was not loaded, as in a statically linked server. That must not pass for "none".
  if not any(values.values()):
    raise Failure("no allocation was seen at all: is the server dynamically linked?")
  return values


def count_instructions(options, requests):
  with tempfile.NamedTemporaryFile("r") as profile:
    valgrind = ["valgrind", "-q", "--tool=callgrind", f"--callgrind-out-file={profile.name}"]
    serve(options, requests, wrapper=valgrind, timeout=120)
    # Several "totals" lines if the profile was written in parts.
    totals = re.findall(r"^totals: (\d+)", profile.read(), re.MULTILINE)
  if not totals:
    raise Failure("callgrind gave no totals")
  return {"instructions": sum(map(int, totals))}


def idle_percent(command, options, kind):
  with Server(command) as server, server.connected(options.idle_connections, f"--{kind}", "--hold", 3600):
    time.sleep(0.5)  # the work of accepting ends
    (before, _), start = server.cpu(), time.monotonic()
    time.sleep(options.idle_seconds)
    return 100 * (server.cpu()[0] - before) / (time.monotonic() - start)


def run():
  options = parse()
  report = Report(options.tolerance)
  print(f"{options.server}: {options.connections} connections x {options.size} B, per request")
  if "syscalls" in options.parts:
    counts = per_request(lambda requests: count_syscalls(options, requests), options)
    report.table("system calls", counts)
    # libuv may hand epoll_ctl operations to the kernel through a ring, where strace sees only the entry.
    changes = counts.get("epoll_ctl", 0) + counts.get("io_uring_enter", 0)
    report.bound("= epoll_ctl", changes, options.max_epoll_ctl)
    report.bound("= all", sum(counts.values()), options.max_syscalls)
  if "mallocs" in options.parts:
    counts = per_request(lambda requests: count_mallocs(options, requests), options)
    report.table("allocations", counts)
    report.bound("= all", sum(counts.values()), options.max_mallocs)
  if options.instructions:
    counts = per_request(lambda requests: count_instructions(options, requests), options)
    print("\ninstructions in user space")
    report.bound("= all", counts["instructions"], options.max_instructions)
  if "idle" in options.parts:
    print(f"\nidle CPU, percent of one core, {options.idle_connections} connections")
    report.bound("silent", idle_percent(options.server, options, "idle"), options.max_idle_percent, 0)
    if options.unread_server:
      percent = idle_percent(options.unread_server, options, "unread")
      report.bound("unread bytes", percent, options.max_idle_percent, 0)
  return report.held


if __name__ == "__main__":
  main(run)
