# SPDX-License-Identifier: Apache-2.0
# The servers that are compared, by the short names that the results use. All of them on one thread, or on one event loop.

import os
import shlex
from dataclasses import dataclass

import harness

SWIFT = os.path.join(harness.ROOT, "Benchmarks", ".build", "release")
EXAMPLES = os.path.join(harness.ROOT, "Examples", ".build", "release")
CERTIFICATE = f"{harness.built('cert.pem')} {harness.built('key.pem')}"
TOKIO = os.path.join(harness.ROOT, "Benchmarks", ".build", "tokio", "release", "tokio-echo")


@dataclass(frozen=True)
class Candidate:
  label: str
  command: str

  @property
  def program(self):
    return shlex.split(self.command)[0]

  def is_here(self):
    return os.path.exists(self.program)


def culvert(way, buffer=""):
  return f"{SWIFT}/culvert-echo {way} {buffer}"


SERVERS = {
  "epoll": Candidate("C, epoll", harness.built("epoll_echo")),
  "uv_poll": Candidate("C, uv_poll", harness.built("uv_poll_echo")),
  "uv_tcp": Candidate("C, uv_tcp", harness.built("uv_tcp_echo")),
  "tokio": Candidate("tokio, current thread", f"{TOKIO} current"),
  "tokio-multi": Candidate("tokio, multi-thread", f"{TOKIO} multi"),
  "nio": Candidate("SwiftNIO, ChannelHandler", f"{SWIFT}/nio-echo handler"),
  "nio-async": Candidate("SwiftNIO, NIOAsyncChannel", f"{SWIFT}/nio-echo channel"),
  "flyingsocks": Candidate("FlyingSocks", f"{SWIFT}/flyingsocks-echo"),
  # The README's program: the example `echo`.
  "culvert": Candidate("Culvert", f"{EXAMPLES}/echo --port 0"),
  # As much room for a read as the C programs have, for requests that are larger than 4,096 bytes.
  "tokio-large": Candidate("tokio, current thread, 64 KiB buffer", f"{TOKIO} current 65536"),
  "culvert-large": Candidate("Culvert, 64 KiB buffer", culvert("plain", 65536)),
  "chunk": Candidate("Culvert, `withChunk`: no buffer held", culvert("chunk")),
  "readTimeout": Candidate("`stream.readTimeout`", culvert("readTimeout")),
  "withTimeout": Candidate("`withTimeout` around each read", culvert("withTimeout")),
  "child": Candidate("each read in a child task (`async let`)", culvert("child")),
  "lines": Candidate("lines (`BufferedReader`)", culvert("lines")),
  "actor": Candidate("a default actor is called for each read", culvert("actor")),
  "global": Candidate("`Task {}`: the global executor", culvert("global")),
  "noRuntime": Candidate("`async main`, no runtime", culvert("noRuntime")),
  "epoll-sink": Candidate("C, epoll", harness.built("epoll_sink")),
  "epoll-source": Candidate("C, epoll", harness.built("epoll_source")),
  "culvert-sink": Candidate("Culvert", culvert("sink")),
  "culvert-source": Candidate("Culvert", culvert("source", 65536)),
  "tls-c": Candidate("C, OpenSSL on the socket", f"{harness.built('tls_echo')} {CERTIFICATE}"),
  "tls": Candidate("Culvert", f"{EXAMPLES}/tls-echo --port 0 {CERTIFICATE}"),
  "nio-tls": Candidate("SwiftNIO, NIOSSL", f"{SWIFT}/nio-tls-echo {CERTIFICATE}"),
  "udp-c": Candidate("C, blocking: one socket only", harness.built("udp_echo")),
  "udp-epoll": Candidate("C, epoll", harness.built("udp_epoll_echo")),
  "udp": Candidate("Culvert, one by one", f"{EXAMPLES}/udp-echo --port 0"),
  "udp-batch": Candidate("Culvert, batches", f"{EXAMPLES}/udp-echo --port 0 --batch"),
}

# In the order in which tables and charts show them.
ECHOES = ("epoll", "uv_poll", "uv_tcp", "tokio", "tokio-multi", "culvert", "nio", "nio-async", "flyingsocks")
WAYS = ("readTimeout", "withTimeout", "child", "lines", "actor", "global", "noRuntime")
