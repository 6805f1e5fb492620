# SPDX-License-Identifier: Apache-2.0
# What is measured over time: the workloads, who takes part in each, for how many rounds, and what must hold.

from dataclasses import dataclass

from servers import ECHOES, WAYS


@dataclass(frozen=True)
class Workload:
  key: str
  title: str
  servers: tuple
  rounds: int
  program: str = "load"
  options: tuple = ()
  holds: int = 0  # so many connections stay open between slices
  unit: str = "echo"
  slice: float = 0.1  # seconds of load before the next one's turn
  slices: int = 3  # of each server in a round

  def arguments(self, candidate):
    return [*self.options, *(["--lines"] if "lines" in candidate.command else [])]


def echo(connections, size, servers, rounds, key=None, title=None, **more):
  amount = f"{size} B" if size < 1024 else f"{size // 1024} KiB"
  title = title or f"Echo, {connections:,} connection{'s' * (connections > 1)} x {amount}"
  options = ("--connections", connections, "--size", size, "--steps")
  return Workload(key or f"echo-{connections}-{size}", title, servers, rounds, options=options, holds=connections, **more)


FEWER = tuple(name for name in ECHOES if name not in ("uv_poll", "tokio-multi"))
LARGE = tuple({"culvert": "culvert-large", "tokio": "tokio-large"}.get(name, name) for name in FEWER)

TLS = ("tls-c", "tls", "nio-tls")

WORKLOADS = (
  echo(64, 64, ECHOES, 40),
  echo(64, 64, ("epoll", "culvert", "nio-async", *WAYS), 9, key="ways", title="Ways to write the handler, 64 connections x 64 B"),
  echo(1, 64, FEWER, 9),
  echo(1_000, 64, FEWER, 9),
  echo(10_000, 64, FEWER, 5, slice=0.4, slices=2),
  echo(1, 16_384, LARGE, 5),
  echo(64, 16_384, LARGE, 5),
  echo(1_000, 16_384, LARGE, 5),
  echo(10_000, 16_384, LARGE, 2, slice=0.6, slices=1),
  Workload("churn", "Connect, one echo, close: 64 at a time", FEWER, 15, "churn_load", ("--connections", 64), unit="connection"),
  Workload("accept", "Connect and close: 64 at a time", FEWER, 7, "churn_load", ("--connections", 64, "--size", 0),
           unit="connection"),
  Workload("receive", "Receive in bulk, 8 connections", ("epoll-sink", "culvert-sink"), 15, "bulk_load",
           ("--connections", 8, "--send"), holds=8, unit="MiB"),
  Workload("send", "Send in bulk, 8 connections", ("epoll-source", "culvert-source"), 15, "bulk_load",
           ("--connections", 8, "--receive"), holds=8, unit="MiB"),
  Workload("udp", "UDP echo, 64 B, 16 under way", ("udp-c", "udp-epoll", "udp", "udp-batch"), 15, "udp_load",
           ("--window", 16, "--size", 64), unit="datagram"),
  Workload("tls-handshakes", "TLS 1.3 handshakes, each with a byte there and back, 8 at a time", TLS, 9, "tls_load", ("handshakes", 8),
           unit="handshake", slice=0.2, slices=8),
  Workload("tls-bulk", "TLS in bulk, 64 KiB there and back, 8 connections", TLS, 9, "tls_load", ("bulk", 8), holds=8, slice=0.2, slices=8),
)


@dataclass(frozen=True)
class Bound:
  """That `server` has at most, or at least, so much of what `reference` has: "cpu" for each unit, or "rate"."""
  title: str
  workload: str
  server: str
  reference: str
  metric: str = "cpu"
  at_most: float = None
  at_least: float = None
  inverted: bool = False  # units for each CPU second: a ratio of the inverse

  def ratios(self, rounds):
    both = [(each[self.server][self.metric], each[self.reference][self.metric]) for each in rounds
            if self.server in each and self.reference in each]
    return [b / a if self.inverted else a / b for a, b in both]


BOUNDS = (
  Bound("CPU per echo, over C's", "echo-64-64", "culvert", "epoll", at_most=1.05),
  Bound("CPU per echo, over that of tokio's current thread", "echo-64-64", "culvert", "tokio", at_most=1.03),
  Bound("Echoes per second, over those of a NIO handler", "echo-64-64", "culvert", "nio", "rate", at_least=1.4),
  Bound("Echoes per second, over those of NIOAsyncChannel", "echo-64-64", "culvert", "nio-async", "rate", at_least=2.8),
  Bound("Echoes per second, over those of FlyingSocks", "echo-64-64", "culvert", "flyingsocks", "rate", at_least=2.8),
  Bound("CPU per echo without a runtime, over that of NIOAsyncChannel", "ways", "noRuntime", "nio-async", at_most=1),
  Bound("CPU per short connection, over C's", "churn", "culvert", "epoll", at_most=1.10),
  Bound("Bytes received per CPU second, over C's", "receive", "culvert-sink", "epoll-sink", at_least=0.97, inverted=True),
  Bound("Bytes sent per CPU second, over C's", "send", "culvert-source", "epoll-source", at_least=0.97, inverted=True),
  Bound("CPU per datagram, over C's", "udp", "udp", "udp-epoll", at_most=1.03),
  Bound("CPU per datagram, over that of C that blocks in one socket", "udp", "udp", "udp-c", at_most=1.03),
  Bound("TLS handshakes per CPU second, over those of C", "tls-handshakes", "tls", "tls-c", at_least=0.9, inverted=True),
  Bound("TLS bytes per CPU second, over those of C", "tls-bulk", "tls", "tls-c", at_least=0.9, inverted=True),
)

# Growth: what 10,000 connections cost over what 64 do, each over C's own; and segments that the kernel cuts.
GROWTH = ("Growth of CPU per echo from 64 to 10,000 connections, over C's", ("echo-64-64", "echo-10000-64"), 1.10)
SEGMENTS = ("Datagrams per CPU second in segments (GSO), over one by one", 2.5)
IDLE_BYTES = ("Bytes of memory per idle connection", 1_800)
IDLE = tuple(name if name != "culvert" else "chunk" for name in ECHOES) + ("culvert",)
