# SPDX-License-Identifier: Apache-2.0
# What all scripts here share: starting a server until it listens, running load generators against it, reading its
# CPU time, and ending exactly the processes that were started.

import contextlib
import os
import re
import resource
import shlex
import signal
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(ROOT, "Benchmarks", ".build", "c")
SERVER_CPU, LOAD_CPU = 0, 1
PRIORITY, NICE = 20, -20
TICK = os.sysconf("SC_CLK_TCK")

# How servers and generators are scheduled; who measures time sets it. A real-time priority keeps all others off their
# processors, but threads of one server then do not preempt each other as they would; "nice" keeps that, and most others off.
SCHEDULING = ("realtime", "nice", "normal")
scheduling = "normal"


class Failure(Exception):
  """Something the caller should read as one line rather than as a stack trace."""


def built(program):
  return os.path.join(BUILD, program)


def schedule(how):
  if how == "realtime":
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
  elif how == "nice":
    os.setsid()
    os.setpriority(os.PRIO_PROCESS, 0, NICE)
    with contextlib.suppress(OSError), open("/proc/self/autogroup", "w") as group:
      group.write(str(NICE))  # a session is a group of its own, whose share this sets


def may_schedule(how):
  """Whether this process may do that, found out by a child."""
  return subprocess.run(["true"], preexec_fn=lambda: None if tried(how) else os._exit(1)).returncode == 0


def tried(how):
  try:
    schedule(how)
    return True
  except OSError:
    return False


def prepared(cpu=None):
  """What a child does before it becomes its program: one CPU, its scheduling, and as many files as it may have."""
  def prepare():
    if cpu is not None:
      os.sched_setaffinity(0, {cpu})
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    schedule(scheduling)

  return prepare


def busy(cpu):
  """Seconds this CPU has not been idle."""
  with open("/proc/stat") as stat:
    fields = re.search(rf"^cpu{cpu} (.*)", stat.read(), re.MULTILINE)[1].split()
  return sum(int(field) for index, field in enumerate(fields[:8]) if index not in (3, 4)) / TICK


def wait_until(condition, timeout, interval=0.005):
  end = time.monotonic() + timeout
  while not (result := condition()) and time.monotonic() < end:
    time.sleep(interval)
  return result


def key_values(line):
  return dict(pair.split("=") for pair in line.split())


class Server:
  """A running server: `with Server("command") as server`. The command must become the server itself (a
  shell in between would be measured instead). With `tracer` set it runs as that program's only child."""

  def __init__(self, command, tracer=(), wrapper=(), environment=None, timeout=20):
    self.command = command
    self.traced = bool(tracer)
    self.arguments = [*tracer, *wrapper, *shlex.split(command)]
    self.environment = {**os.environ, **(environment or {})}
    self.timeout = timeout

  def __enter__(self):
    # A file and not a pipe: a server that logs a lot must not block because nobody reads.
    self.output = tempfile.TemporaryFile()
    try:
      self.process = subprocess.Popen(self.arguments, stdin=subprocess.DEVNULL, stdout=self.output,
                                      env=self.environment, preexec_fn=prepared(SERVER_CPU))
    except OSError as error:
      raise Failure(f"cannot start {self.arguments[0]}: {error.strerror}") from None
    try:
      self.address = wait_until(self.announced_address, self.timeout)
      if not self.address or self.process.poll() is not None:
        raise Failure(f"no `listening on HOST:PORT` from: {self.command}")
      self.pid = self.server_pid()
    except BaseException:
      self.__exit__(None, None, None)
      raise
    return self

  def announced_address(self):
    if self.process.poll() is not None:
      return "ended"
    text = os.pread(self.output.fileno(), 65536, 0).decode(errors="replace")
    found = re.search(r"listening on (\S+:\d+)\s", text)
    return found and found[1]

  def server_pid(self):
    if not self.traced:
      return self.process.pid
    with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children") as children:
      return int(children.read().split()[0])

  def __exit__(self, kind, error, trace):
    for number, patience in ((signal.SIGINT, self.timeout), (signal.SIGKILL, 5)):
      try:
        if self.process.poll() is None:
          os.kill(self.server_pid(), number)
        self.process.wait(patience)
        break
      except subprocess.TimeoutExpired:
        print(f"harness: the server did not end on {number.name}: {self.command}", file=sys.stderr)
      except (ProcessLookupError, OSError, IndexError):
        self.process.kill()  # the tracer has lost its child
    self.output.close()

  def cpu(self):
    """CPU seconds of all threads so far, ended ones too: (total, user). The total is read from the process's
    CPU clock, which is utime + stime of /proc/PID/stat in nanoseconds; the user part is in clock ticks."""
    with open(f"/proc/{self.pid}/stat") as stat:
      user = int(stat.read().rpartition(")")[2].split()[11]) / TICK
    return time.clock_gettime(~self.pid << 3 | 2), user  # the id clock_getcpuclockid(3) gives

  def memory(self):
    """Bytes of this process in the machine's memory: resident, and with shared pages divided by who shares them."""
    with open(f"/proc/{self.pid}/smaps_rollup") as rollup:
      text = rollup.read()
    return {name.lower(): int(re.search(rf"^{name}: +(\d+) kB", text, re.MULTILINE)[1]) * 1024
            for name in ("Rss", "Pss")}

  def open_files(self):
    folder = f"/proc/{self.pid}/fd"
    return os.stat(folder).st_size or len(os.listdir(folder))  # the size is 0 before Linux 6.2

  def run(self, program, *arguments):
    """Runs a load generator to its end and waits until the server has closed the connections."""
    before = self.open_files()
    command = [built(program), self.address, *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, preexec_fn=prepared(LOAD_CPU))
    if done.returncode != 0:
      raise Failure(f"{program} failed against {self.command}: {done.stdout.strip()}")
    wait_until(lambda: self.open_files() <= before, 2)

  def load(self, connections, size, *extent):
    self.run("load", "--connections", connections, "--size", size, *extent)

  @contextlib.contextmanager
  def generator(self, program, *arguments, holds=0):
    """A load generator that has started; the connections it holds are open, and accepted, as long as the context lasts."""
    before = self.open_files()
    command = [built(program), self.address, *map(str, arguments)]
    load = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                            preexec_fn=prepared(LOAD_CPU))
    try:
      if not load.stdout.readline().startswith("connected "):
        raise Failure("the load generator could not connect")
      # Where none is held, a file that the server had open for a moment when its files were counted must not count.
      if holds and not wait_until(lambda: self.open_files() >= before + holds, 10):
        raise Failure(f"the server accepted {self.open_files() - before} connections only")
      yield load
      if load.poll() is not None or holds and self.open_files() < before + holds:
        raise Failure("connections that were to stay open were closed")
    finally:
      load.terminate()
      load.wait()
      load.stdin.close()
      load.stdout.close()

  def connected(self, connections, *extent):
    return self.generator("load", "--connections", connections, *extent, holds=connections)


def main(body):
  """Runs body, which returns whether all bounds held; a signal unwinds, so that servers are ended."""
  signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))
  # A shell that starts us in the background has us ignore it, and our servers, which it ends, would.
  signal.signal(signal.SIGINT, signal.default_int_handler)
  if not all(os.path.exists(built(program)) for program in ("epoll_echo", "load")):
    sys.exit("the C programs are missing; build them: make -C Benchmarks")
  if not {SERVER_CPU, LOAD_CPU} <= os.sched_getaffinity(0):
    sys.exit(f"CPUs {SERVER_CPU} and {LOAD_CPU} are needed: one for the server, one for the load")
  try:
    sys.exit(0 if body() else 1)
  except Failure as failure:
    sys.exit(str(failure))
