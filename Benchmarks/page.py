# SPDX-License-Identifier: Apache-2.0
# Writes the results page from what was measured: docs/benchmarks.md and its charts.

import os
import platform
import re
import subprocess
from statistics import median

import charts
import harness
from paired import holds, ratio_of, ratio_of_medians
from servers import ECHOES, SERVERS, WAYS
from workloads import BOUNDS, GROWTH, IDLE, IDLE_BYTES, SEGMENTS, WORKLOADS

PLURALS = {"echo": "echoes", "connection": "connections", "MiB": "MiB", "datagram": "datagrams",
           "handshake": "handshakes"}
TITLES = {workload.key: workload for workload in WORKLOADS}


# What was measured on.

def first_line(*command):
  try:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return done.stdout.strip().splitlines()[0] if done.stdout.strip() else ""
  except OSError:
    return ""


def found_in(path, pattern):
  try:
    with open(path) as file:
      found = re.search(pattern, file.read(), re.MULTILINE)
    return found[1].strip() if found else ""
  except OSError:
    return ""


def machine():
  system = found_in("/etc/os-release", r'^PRETTY_NAME="(.*)"')
  memory = found_in("/proc/meminfo", r"^MemTotal: +(\d+)")
  pin = os.path.join(harness.ROOT, "Benchmarks", "Package.swift")
  return {
    "machine": found_in("/proc/cpuinfo", r"^model name.*: (.*)")
               + f", {os.cpu_count()} processors, {round(int(memory) / 2**20)} GiB",
    "system": f"{system}, Linux {platform.release()}",
    "versions": {
      "Culvert": first_line("git", "-C", harness.ROOT, "rev-parse", "--short", "HEAD"),
      "Swift": first_line("swift", "--version").removeprefix("Swift version "),
      "C": first_line("cc", "--version"),
      "libuv": first_line("pkg-config", "--modversion", "libuv"),
      "SwiftNIO": found_in(pin, r'swift-nio", exact: "([^"]*)"'),
      "NIOSSL": found_in(pin, r'swift-nio-ssl", exact: "([^"]*)"'),
      "OpenSSL": first_line("openssl", "version").removeprefix("OpenSSL "),
      "FlyingSocks": found_in(pin, r'FlyingFox", exact: "([^"]*)"') + " (of FlyingFox)",
      "tokio": found_in(os.path.join(harness.ROOT, "Benchmarks", "tokio", "Cargo.lock"), r'name = "tokio"\nversion = "([^"]*)"')
               or "not at hand",
    },
  }


# What the rounds come to.

def values(results, key, name, metric="cpu"):
  return [each[name][metric] for each in results.get(key, {}).get("rounds", ()) if name in each]


def middle(results, key, name, metric="cpu"):
  found = values(results, key, name, metric)
  return median(found) if found else None


def reference_of(workload):
  return workload.servers[0]


def ratio(results, key, name):
  """CPU for each unit, over that of the workload's C program: paired."""
  pairs = zip(values(results, key, name), values(results, key, reference_of(TITLES[key])))
  return ratio_of([a / b for a, b in pairs])


def verdict(title, found, unit="", **bound):
  return {"title": title, **found, **bound, "unit": unit, "held": holds(found, **bound)}


def verdicts(results):
  found = []
  for bound in BOUNDS:
    ratios = bound.ratios(results.get(bound.workload, {}).get("rounds", ()))
    limit = {"at_most": bound.at_most} if bound.at_most is not None else {"at_least": bound.at_least}
    if ratios:
      found.append(verdict(bound.title, ratio_of(ratios), **limit))
  title, keys, limit = GROWTH
  few, many = ([a / b for a, b in zip(values(results, key, "culvert"), values(results, key, "epoll"))] for key in keys)
  if few and many:
    found.append(verdict(title, ratio_of_medians(many, few), at_most=limit))
  if "segments" in results:
    found.append(verdict(SEGMENTS[0], ratio_of(results["segments"]["ratios"]), at_least=SEGMENTS[1]))
  if "idle" in results:
    samples = [sample["pss"] for sample in results["idle"]["samples"]["chunk"]]
    found.append(verdict(IDLE_BYTES[0], ratio_of(samples), at_most=IDLE_BYTES[1]))
  return found


# The page.

def table(header, rows):
  lines = ["| " + " | ".join(header) + " |", "|---" + "|---:" * (len(header) - 1) + "|"]
  return "\n".join(lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows])


def number(value):
  """Three digits that count, and no more decimals than two."""
  if value is None:
    return "–"
  return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def interval(found):
  return f"{number(found['low'])} to {number(found['high'])}"


def bound_rows(found):
  for each in found:
    at_most = each.get("at_most")
    bound = f"at most {at_most:,g}" if at_most is not None else f"at least {each['at_least']:,g}"
    yield each["title"], number(each["median"]), interval(each), bound, "held" if each["held"] else "**exceeded**"


def present(results, workload):
  return [name for name in workload.servers if values(results, workload.key, name)]


def workload_section(results, workload):
  rows = []
  for name in present(results, workload):
    compared = ratio(results, workload.key, name)
    rows.append([SERVERS[name].label, *(number(middle(results, workload.key, name, metric)) for metric in ("cpu", "user", "rate")),
                 number(compared["median"]), interval(compared), f"{number(compared['min'])} to {number(compared['max'])}"])
  rounds = len(results[workload.key]["rounds"])
  header = ("", f"us of CPU per {workload.unit}", "of it user", f"{PLURALS[workload.unit]} per second", "over C", "95 % interval", "spread")
  missing = "".join(f"\n\n{SERVERS[name].label}: {reason}." for name, reason in results[workload.key]["missing"].items())
  return f"### {workload.title}\n\n{rounds} rounds.\n\n{table(header, rows)}{missing}\n"


def idle_rows(results):
  for name in IDLE:
    samples = results["idle"]["samples"].get(name)
    if samples:
      yield name, median(sample["pss"] for sample in samples)


def counts_section(results):
  names = ("instructions", "mallocs", "syscalls", "epoll_ctl", "connection_mallocs", "connection_syscalls")
  header = ("", "instructions per echo", "allocations per echo", "system calls per echo", "`epoll_ctl` per echo",
            "allocations per connection", "system calls per connection")
  servers = results["counts"]["servers"]
  return table(header, ([SERVERS[name].label, *(f"{servers[name][each]:,}" for each in names)]
                        for name in ECHOES if name in servers))


def rates_section(results):
  samples = results["rates"]["samples"]
  rows = [[label, *(number(median(each[key] for each in samples[name])) for key in ("timer", "roundtrip", "submit"))]
          for name, label in (("culvert", "Culvert"), ("nio", "SwiftNIO"))]
  header = ("ns", "a timer set and cancelled, beside 10,000 others", "a task on another thread, and its result",
            "one of 1,000 tasks at once")
  return table(header, rows)


# The charts: file name, and the drawing.

def cpu_bars(results):
  rows = []
  for name in present(results, TITLES["echo-64-64"]):
    each = values(results, "echo-64-64", name)
    spread = ratio_of(each)
    rows.append((name, SERVERS[name].label, spread["median"], f"{spread['median']:.2f} us", spread["low"], spread["high"]))
  return charts.bars("CPU per echo", "Microseconds of one core, user and system; less is better. 64 connections x 64 B. "
                     "Whisker: 95 % interval.", rows, "epoll")


def rate_bars(results):
  rows = [(name, SERVERS[name].label, rate / 1000, f"{rate / 1000:,.1f} thousand")
          for name in present(results, TITLES["echo-64-64"]) for rate in [middle(results, "echo-64-64", name, "rate")]]
  return charts.bars("Echoes per second", "Thousands, on one core; more is better. 64 connections x 64 B.", rows, "epoll")


def growth_lines(results):
  counts = (1, 64, 1_000, 10_000)
  rows = [(name, SERVERS[name].label, [middle(results, f"echo-{count}-64", name) for count in counts])
          for name in TITLES["echo-10000-64"].servers]
  rows = [row for row in rows if any(row[2])]
  return charts.growth("CPU per echo, as connections grow", "Microseconds of one core, logarithmic; less is better. 64 B.",
                       [f"{count:,}" for count in counts[:-1]] + ["10,000 connections"], rows)


def idle_bars(results):
  rows = [(name, SERVERS[name].label.replace("`", "").split(":")[0], size, f"{size:,.0f} B") for name, size in idle_rows(results)]
  return charts.bars("Memory per idle connection", "Bytes of the process, with the connection's task; less is better. "
                     "10,000 connections.", rows)


CHARTS = (("cpu-per-echo", cpu_bars, ("echo-64-64",)), ("echoes-per-second", rate_bars, ("echo-64-64",)),
          ("growth", growth_lines, ("echo-64-64", "echo-10000-64")), ("idle-memory", idle_bars, ("idle",)))


def chart(name):
  """The line that shows it."""
  title = name.replace("-", " ")
  return f"![{title}](benchmarks/{name}.svg)\n"


def write(results, docs):
  """Writes page and charts; returns the verdicts, and prints those that were exceeded."""
  drawn = set()
  for name, draw, needed in CHARTS:
    if all(key in results for key in needed):
      with open(os.path.join(docs, "benchmarks", f"{name}.svg"), "w") as file:
        file.write(draw(results))
      drawn.add(name)
  found = verdicts(results)
  with open(os.path.join(docs, "benchmarks.md"), "w") as file:
    file.write("\n".join(sections(results, found, drawn)))
  for title, value, interval, bound, held in bound_rows(found):
    print(f"{held.strip('*').upper() if held != 'held' else 'held':9} {title}: {value} ({interval}), {bound}")
  return found


INTRO = """# Benchmarks

What Culvert costs over C, and beside its peers. `make bench` made this page and its charts from
[what it measured](benchmarks/results.json); `make counts` holds the counts to their bounds, on every change.
"""

METHOD = """## How

- Each server has one thread, or one event loop, and prints no more than where it listens; all are built for release, Swift's
  library is linked statically. Their sources are in [Benchmarks](../Benchmarks). Before it is measured each server has to send
  back what is larger than its buffer, and each byte of an echo is checked. (Of bytes in bulk the beginnings are.)
- The server has one processor and the load another. A round starts all servers of a workload afresh, and gives them load in
  turns, in slices of 0.1 s (longer with 10,000 connections) in changing order: a machine's speed drifts, and only neighbouring slices compare.
- CPU is the process's own clock, all its threads, user and system. What is compared is the ratio within a round; the tables
  have the median of the rounds, and its 95 % interval (bootstrap).
- A bound is exceeded only when that is sure: when the whole interval is on the wrong side of it.
- Culvert is the README's program, the example `echo`: public API, and cancellation is honoured. For requests of 16 KiB it and
  tokio have buffers of 64 KiB, as the C programs always have; FlyingSocks reads no more than 4,096 bytes at a time.
- Counts are differences of two runs, of N and of 2 N requests or connections: callgrind (user space), strace, a preloaded `malloc`.
- Idle memory is that of the process (`Pss`), not the kernel's. The README's program holds a buffer of 4,096 bytes for each
  connection, as tokio's here does; with `withChunk` a connection that waits holds none, as with SwiftNIO.
"""


PRIORITIES = {"realtime": "a real-time priority", "nice": "the highest priority that is not a real-time one",
              "normal": "no priority over other programs"}


def others(results):
  """How much of the server's processor other programs had: the median of all slices."""
  taken = [each["others"] for workload in WORKLOADS for round in results.get(workload.key, {}).get("rounds", ())
           for each in round.values()]
  return f"Other programs took {median(taken):.0%} of the servers' processor meanwhile." if taken else ""


def environment_section(results):
  run = results.get("run", {})
  priority = PRIORITIES[run.get("scheduling", "normal")]
  versions = "\n".join(f"- {name}: {version}" for name, version in run.get("versions", {}).items())
  return (f"## Where and when\n\n{run.get('date')}: {run.get('machine')}; {run.get('system')}. "
          f"Servers and load had {priority}. {others(results)}\n\n{versions}\n\n"
          "```sh\nmake bench                     # all of it\nmake bench ARGS='--scale 0.2'  # with a fifth of the rounds\n"
          "make bench ARGS='--only echo'  # only what has this in its name; the rest stays\n"
          "make counts                    # the counts alone, with their bounds\n```\n")


def sections(results, found, drawn):
  yield INTRO
  yield from (chart(name) for name, *_ in CHARTS if name in drawn)
  if found:
    yield "## Bounds\n\n" + table(("", "measured", "95 % interval", "bound", ""), bound_rows(found)) + "\n"
  if "counts" in results:
    yield f"## Counts\n\n{counts_section(results)}\n"
  yield "## Over time\n"
  yield from (workload_section(results, workload) for workload in WORKLOADS if workload.key in results)
  if "idle" in results:
    rows = [[SERVERS[name].label, number(size)] for name, size in idle_rows(results)]
    yield "### Memory of an idle connection, of 10,000\n\n" + table(("", "bytes"), rows) + "\n"
  if "rates" in results:
    yield f"### Timers, and tasks for other threads\n\n{rates_section(results)}\n"
  yield METHOD
  yield environment_section(results)
