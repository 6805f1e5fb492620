# SPDX-License-Identifier: Apache-2.0
# What counts a program's instructions, allocations and system calls: callgrind, a preloaded library, strace.

import contextlib
import os
import re
import shlex
import struct
import subprocess
import tempfile

from harness import Failure, built

MALLOC_KINDS = ("malloc", "calloc", "realloc", "aligned")


class Instructions:
  """`with Instructions(command) as counting`: run `counting.command` under `counting.wrapper`, then read `total()`."""

  def __init__(self, command):
    self.words = shlex.split(command) if isinstance(command, str) else list(command)

  def __enter__(self):
    self.folder = tempfile.TemporaryDirectory()
    # Valgrind gives up on the debugging information of a program that holds Swift's own libraries.
    copy = os.path.join(self.folder.name, os.path.basename(self.words[0]))
    subprocess.run(["strip", "-g", "-o", copy, self.words[0]], check=True)
    self.command = shlex.join([copy, *self.words[1:]])
    self.profile = os.path.join(self.folder.name, "profile")
    self.wrapper = ["valgrind", "-q", "--tool=callgrind", f"--callgrind-out-file={self.profile}"]
    return self

  def __exit__(self, kind, error, trace):
    self.folder.cleanup()

  def total(self):
    with open(self.profile) as file:
      # Several "totals" lines if the profile was written in parts.
      totals = re.findall(r"^totals: (\d+)", file.read(), re.MULTILINE)
    if not totals:
      raise Failure("callgrind gave no totals")
    return sum(map(int, totals))


class Allocations:
  """`with Allocations() as counting`: run a program in `counting.environment`, then read `totals()`."""

  def __enter__(self):
    self.file = tempfile.NamedTemporaryFile()
    self.file.write(bytes(8 * len(MALLOC_KINDS)))
    self.file.flush()
    self.environment = {"LD_PRELOAD": built("malloc_count.so"), "MALLOC_COUNT_FILE": self.file.name}
    return self

  def __exit__(self, kind, error, trace):
    self.file.close()

  def totals(self):
    self.file.seek(0)
    values = dict(zip(MALLOC_KINDS, struct.unpack(f"{len(MALLOC_KINDS)}Q", self.file.read())))
    # All zero: the library was not loaded, as in a program without a dynamic libc. That must not pass for "none".
    if not any(values.values()):
      raise Failure("no allocation was seen at all: is the program dynamically linked?")
    return values


@contextlib.contextmanager
def strace_summary():
  """Gives a tracer for the program, and what reads {system call: how many} once that has ended."""
  with tempfile.NamedTemporaryFile("r") as summary:
    def totals():
      rows = re.findall(r"^(\w+)\s+(\d+)\s*$", summary.read(), re.MULTILINE)
      counts = {name: int(calls) for name, calls in rows if name != "total"}
      if not counts:
        raise Failure("strace gave no summary")
      return counts

    yield ["strace", "-f", "-c", "-U", "name,calls", "-o", summary.name], totals
