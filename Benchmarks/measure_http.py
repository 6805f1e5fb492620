# SPDX-License-Identifier: Apache-2.0
# Compares the CPU time of one HTTP request to FlyingFox on Culvert's pool with that on its own pool, in paired rounds;
# wrk is the load, and a request that fails is a failure of the run.
#   python3 Benchmarks/measure_http.py --server 'COMMAND' --reference 'COMMAND'

import argparse
import math
import re
import subprocess
import sys
from statistics import median

sys.dont_write_bytecode = True
from harness import LOAD_CPU, Failure, Server, main, prepared
from paired import Contender, ratio_of, run_round
from servers import Candidate
from workloads import Workload


class HttpContender(Contender):
  """With wrk, which is started for each slice."""

  def __init__(self, candidate, workload, stack):
    self.server = stack.enter_context(Server(candidate.command))
    self.options = workload.options
    self.units = self.total = self.user = self.elapsed = self.others = 0

  def load(self, seconds):
    connections, path = self.options
    command = ["wrk", "-t1", f"-c{connections}", f"-d{math.ceil(seconds)}s", f"http://{self.server.address}{path}"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, preexec_fn=prepared(LOAD_CPU))
    requests = re.search(r"(\d+) requests in", done.stdout)
    if done.returncode != 0 or not requests or re.search(r"Socket errors|Non-2xx", done.stdout):
      raise Failure(f"load failed against {self.server.command}: {done.stdout.strip()}")
    return int(requests[1])


def run():
  parser = argparse.ArgumentParser(description="CPU time per HTTP request, with two pools")
  parser.add_argument("--server", required=True, help="prints `listening on HOST:PORT`")
  parser.add_argument("--reference", required=True, help="what it is compared with")
  parser.add_argument("--rounds", type=int, default=9)
  parser.add_argument("--connections", type=int, default=64)
  parser.add_argument("--path", default="/empty")
  options = parser.parse_args()
  names = ("reference", "server")
  workload = Workload("http", "", names, options.rounds, options=(options.connections, options.path), unit="request", slice=1, slices=2)
  candidates = {name: Candidate(name, getattr(options, name)) for name in names}
  rounds = []
  for index in range(options.rounds):
    rounds.append(run_round(index, workload, candidates, HttpContender))
    print(f"{index + 1:5} " + "".join(f"{name} {rounds[-1][name]['cpu']:8.3f} us   " for name in names), flush=True)
  for name in names:
    cpu, user, rate = (median(each[name][key] for each in rounds) for key in ("cpu", "user", "rate"))
    print(f"{name}: median {cpu:.3f} us/request, of it user {user:.3f}; {rate:.0f} requests/s")
  found = ratio_of([each["server"]["cpu"] / each["reference"]["cpu"] for each in rounds])
  print(f"server over reference: {found['median']:.3f} (95 % interval {found['low']:.3f} to {found['high']:.3f})")
  return True


if __name__ == "__main__":
  main(run)
