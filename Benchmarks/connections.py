#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Many connections at once, from a process of their own: each is answered while all are open; then the client closes
# them, and in a second round is killed (-9). After each round the server has as many descriptors open as before.
#   connections.py --server 'COMMAND' [--connections 10000]

import argparse
import subprocess

import harness


def one_round(server, connections, hold, end):
  """Opens and uses all connections, holds them that long, ends the client with `end`; whether all came back."""
  before = server.open_files()
  command = [harness.built("load"), server.address, "--connections", str(connections), "--size", "64", "--once", "--hold", hold]
  client = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
  try:
    answer = client.stdout.readline().strip()
    if answer != f"answered {connections}":
      raise harness.Failure(f"not all were answered: {answer or 'no line'}")
    held = server.open_files() - before
  finally:
    end(client)
    client.wait()
  harness.wait_until(lambda: server.open_files() <= before, 30)
  after = server.open_files()
  print(f"  answered {connections}, open meanwhile +{held}, afterwards {after - before:+d}")
  return held == connections and after == before


def main():
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--server", required=True)
  parser.add_argument("--connections", type=int, default=10000)
  options = parser.parse_args()
  with harness.Server(options.server) as server:
    # One connection first: what a server opens for its first client is not a leak.
    server.load(1, 64, "--requests", 1)
    print(f"{options.connections} connections at once to: {options.server}")
    print("the client closes them:")
    closed = one_round(server, options.connections, "2", lambda client: client.wait(60))
    print("the client is killed:")
    killed = one_round(server, options.connections, "60", lambda client: client.kill())
    print("bounds held" if closed and killed else "EXCEEDED: descriptors are not back where they were")
    return closed and killed


if __name__ == "__main__":
  harness.main(main)
