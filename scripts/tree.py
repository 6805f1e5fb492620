# SPDX-License-Identifier: Apache-2.0
# A copy of the sources, in which scripts may break things, and processes that they can end for certain.

import collections
import os
import pathlib
import signal
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent


def copy(parts, tree):
  # A file whose content is the same is left alone: its time tells the build that it has not changed.
  wanted = set()
  for part in parts:
    for source in [ROOT / part, *(ROOT / part).rglob("*")]:
      if source.is_file() and ".build" not in source.parts:
        target = tree / source.relative_to(ROOT)
        wanted.add(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists() or target.read_bytes() != source.read_bytes():
          target.write_bytes(source.read_bytes())
  for part in parts:
    for target in (tree / part).rglob("*"):
      if target.is_file() and target not in wanted:
        target.unlink()


def end(process):
  """Kills a process and all that it has started: they need not be in one group, nor end with their parent."""
  children = collections.defaultdict(list)
  for line in subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True).stdout.splitlines():
    pid, parent = map(int, line.split())
    children[parent].append(pid)
  doomed = [process.pid]
  for pid in doomed:
    doomed += children[pid]
  for pid in doomed:
    try:
      os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
      pass
