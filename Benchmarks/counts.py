# SPDX-License-Identifier: Apache-2.0
# Counts what a request and a connection cost a server, where CPU time would be too noisy to hold a bound: system calls,
# allocations, instructions, memory, and the CPU an idle server uses. Each count runs N and then 2N requests, or
# connections, on fresh servers; the difference / N is free of start-up cost. Exits 1 if a bound is exceeded.
#   python3 Benchmarks/counts.py --server 'COMMAND' [--parts request,connection] [--max-mallocs 0]

import argparse
import sys
import time

sys.dont_write_bytecode = True
from counting import Allocations, Instructions, strace_summary
from harness import Server, built, main

PARTS = ("request", "instructions", "connection", "memory", "idle")


def parse():
  parser = argparse.ArgumentParser(description="exact counts per request and connection, with bounds")
  parser.add_argument("--server", required=True, help="an echo server; prints `listening on HOST:PORT`")
  parser.add_argument("--parts", default=",".join(PARTS), help="default: %(default)s")
  parser.add_argument("--requests", type=int, default=20000)
  parser.add_argument("--instructed", type=int, default=4000, help="requests under callgrind, which is slow")
  parser.add_argument("--short-connections", type=int, default=1000)
  parser.add_argument("--connections", type=int, default=64)
  parser.add_argument("--size", type=int, default=64)
  parser.add_argument("--memory-connections", type=int, default=8000)
  parser.add_argument("--idle-connections", type=int, default=1000)
  parser.add_argument("--idle-seconds", type=float, default=5)
  parser.add_argument("--max-epoll-ctl", type=float, help="per request; io_uring_enter counts as well")
  parser.add_argument("--max-more-syscalls", type=float, help="per request, over the C program's")
  parser.add_argument("--max-mallocs", type=float, help="per request")
  parser.add_argument("--max-instructions", type=float, help="per request")
  parser.add_argument("--max-more-connection-syscalls", type=float, help="per connection, over the C program's")
  parser.add_argument("--max-connection-mallocs", type=float)
  parser.add_argument("--max-connection-bytes", type=float, help="of memory, for an idle connection")
  parser.add_argument("--check-growth", action="store_true", help="idle connections must not cost those that come")
  parser.add_argument("--max-idle-percent", type=float, default=1.0)
  parser.add_argument("--tolerance", type=float, default=0.001, help="added to each bound per request")
  options = parser.parse_args()
  options.parts = options.parts.split(",")
  if unknown := set(options.parts) - set(PARTS):
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


class Echoes:
  """So many requests over open connections."""

  def __init__(self, connections=64, size=64):
    self.connections, self.size = connections, size

  def run(self, server, number):
    server.load(self.connections, self.size, "--requests", number)


class ShortConnections:
  """So many connections, one after the other, with an echo each."""

  def run(self, server, number):
    server.run("churn_load", "--connections", 1, "--size", 64, "--total", number)


class BesideIdle(ShortConnections):
  """The same beside so many connections that do nothing."""

  def __init__(self, idle):
    self.idle = idle

  def run(self, server, number):
    with server.connected(self.idle, "--idle", "--hold", 3600):
      super().run(server, number)


def each(count, command, work, number):
  """count(command, work, number) gives totals for a server that did so much; this, what each part of the work took."""
  once, twice = (count(command, work, times * number) for times in (1, 2))
  return {name: (twice[name] - once.get(name, 0)) / number for name in twice}


def system_calls(command, work, number):
  with strace_summary() as (tracer, totals):
    with Server(command, tracer=tracer) as server:
      work.run(server, number)
    return totals()


def allocations(command, work, number):
  with Allocations() as counting:
    with Server(command, environment=counting.environment) as server:
      work.run(server, number)
    return counting.totals()


def instructions(command, work, number):
  with Instructions(command) as counting:
    with Server(counting.command, wrapper=counting.wrapper, timeout=120) as server:
      work.run(server, number)
    return {"instructions": counting.total()}


def connection_bytes(command, number):
  """Memory that an idle connection takes, its task included."""
  with Server(command) as server:
    server.load(1, 64, "--requests", 10)
    before = server.memory()["pss"]
    with server.connected(number, "--idle", "--hold", 3600):
      time.sleep(0.5)  # the work of accepting ends
      return (server.memory()["pss"] - before) / number


def idle_percent(command, options):
  with Server(command) as server, server.connected(options.idle_connections, "--idle", "--hold", 3600):
    time.sleep(0.5)
    (before, _), start = server.cpu(), time.monotonic()
    time.sleep(options.idle_seconds)
    return 100 * (server.cpu()[0] - before) / (time.monotonic() - start)


def changes(calls):
  """libuv may hand epoll_ctl operations to the kernel through a ring, where strace sees only the entry."""
  return calls.get("epoll_ctl", 0) + calls.get("io_uring_enter", 0)


def counts_of(command, requests=3000, connections=300):
  """All of one server's counts, for the results page."""
  echoes, short = Echoes(), ShortConnections()

  def total(count, work, number):
    return max(0, sum(each(count, command, work, number).values()))

  return {
    "instructions": round(total(instructions, echoes, requests)),
    "mallocs": round(total(allocations, echoes, requests), 2),
    "syscalls": round(total(system_calls, echoes, requests), 2),
    "epoll_ctl": round(changes(each(system_calls, command, echoes, requests)), 2),
    "connection_mallocs": round(total(allocations, short, connections), 1),
    "connection_syscalls": round(total(system_calls, short, connections), 1),
  }


def count_requests(options, report):
  echoes = Echoes(options.connections, options.size)
  reference = sum(each(system_calls, built("epoll_echo"), echoes, options.requests).values())
  calls = each(system_calls, options.server, echoes, options.requests)
  report.table("system calls of a request", calls)
  report.bound("= epoll_ctl", changes(calls), options.max_epoll_ctl)
  report.bound("= all", sum(calls.values()), None)
  report.bound("= more than C", sum(calls.values()) - reference, options.max_more_syscalls)
  mallocs = each(allocations, options.server, echoes, options.requests)
  report.table("allocations of a request", mallocs)
  report.bound("= all", sum(mallocs.values()), options.max_mallocs)


def count_connections(options, report):
  short, number = ShortConnections(), options.short_connections
  reference = sum(each(system_calls, built("epoll_echo"), short, number).values())
  calls = each(system_calls, options.server, short, number)
  report.table("system calls of a connection with one request", calls)
  report.bound("= all", sum(calls.values()), None)
  # A first read that comes before its request is one call more, and a matter of time: hence the half.
  report.bound("= more than C", sum(calls.values()) - reference, options.max_more_connection_syscalls, 0.5)
  mallocs = each(allocations, options.server, short, number)
  report.table("allocations of a connection", mallocs)
  report.bound("= all", sum(mallocs.values()), options.max_connection_mallocs, 0.1)


def count_instructions(options, report):
  echoes = Echoes(options.connections, options.size)
  count = each(instructions, options.server, echoes, options.instructed)
  print("\ninstructions of a request, in user space")
  report.bound("= all", count["instructions"], options.max_instructions)
  # Many, for what it takes until the idle ones are there differs from run to run.
  short, number = ShortConnections(), 2 * options.short_connections
  alone, beside = (each(instructions, options.server, work, number)["instructions"] for work in (short, BesideIdle(1000)))
  print("\ninstructions of a connection with one request")
  report.bound("alone", alone, None)
  report.bound("beside 1,000 idle", beside, 1.1 * alone if options.check_growth else None)


def body():
  options = parse()
  report = Report(options.tolerance)
  print(f"{options.server}: {options.connections} connections x {options.size} B")
  if "request" in options.parts:
    count_requests(options, report)
  if "instructions" in options.parts:
    count_instructions(options, report)
  if "connection" in options.parts:
    count_connections(options, report)
  if "memory" in options.parts:
    print(f"\nmemory of an idle connection, {options.memory_connections} of them")
    report.bound("= bytes", connection_bytes(options.server, options.memory_connections), options.max_connection_bytes)
  if "idle" in options.parts:
    print(f"\nidle CPU, percent of one core, {options.idle_connections} connections")
    report.bound("silent", idle_percent(options.server, options), options.max_idle_percent, 0)
  return report.held


if __name__ == "__main__":
  main(body)
