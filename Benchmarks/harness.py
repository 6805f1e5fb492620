# SPDX-License-Identifier: Apache-2.0
# What measure.py and counts.py share: starting a server until it listens, running the load generator
# against it, reading its CPU time, and ending exactly the processes that were started.

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time

BUILD = os.path.join(os.path.dirname(os.path.abspath(__file__)), ".build")
REFERENCE = os.path.join(BUILD, "epoll_echo")
LOAD = os.path.join(BUILD, "load")
SERVER_CPU, LOAD_CPU = 0, 1
TICK = os.sysconf("SC_CLK_TCK")


class Failure(Exception):
  """Something the caller should read as one line rather than as a stack trace."""


def pinned(cpu):
  return lambda: os.sched_setaffinity(0, {cpu})


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
                                      env=self.environment, preexec_fn=pinned(SERVER_CPU))
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

  def open_files(self):
    return len(os.listdir(f"/proc/{self.pid}/fd"))

  def load(self, connections, size, *extent):
    """Runs the load generator to its end and waits until the server has closed the connections."""
    before = self.open_files()
    command = [LOAD, self.address, "--connections", str(connections), "--size", str(size), *map(str, extent)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, preexec_fn=pinned(LOAD_CPU))
    if done.returncode != 0:
      raise Failure(f"load failed against {self.command}: {done.stdout.strip()}")
    wait_until(lambda: self.open_files() <= before, 2)

  @contextlib.contextmanager
  def connected(self, connections, *extent):
    """A load generator whose connections are open, and accepted, for as long as the context lasts."""
    before = self.open_files()
    command = [LOAD, self.address, "--connections", str(connections), *map(str, extent)]
    load = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                            preexec_fn=pinned(LOAD_CPU))
    try:
      if not load.stdout.readline().startswith("connected "):
        raise Failure("the load generator could not connect")
      if not wait_until(lambda: self.open_files() >= before + connections, 10):
        raise Failure(f"the server accepted {self.open_files() - before} connections only")
      yield load
      if load.poll() is not None or self.open_files() < before + connections:
        raise Failure("connections that were to stay open were closed")
    finally:
      load.terminate()
      load.wait()


def main(body):
  """Runs body, which returns whether all bounds held; a signal unwinds, so that servers are ended."""
  signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))
  if not all(os.path.exists(path) for path in (REFERENCE, LOAD)):
    sys.exit("the C programs are missing; build them: make -C Benchmarks")
  if not {SERVER_CPU, LOAD_CPU} <= os.sched_getaffinity(0):
    sys.exit(f"CPUs {SERVER_CPU} and {LOAD_CPU} are needed: one for the server, one for the load")
  try:
    sys.exit(0 if body() else 1)
  except Failure as failure:
    sys.exit(str(failure))
