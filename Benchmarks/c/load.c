// SPDX-License-Identifier: Apache-2.0
// The load generator: opens N connections to an echo server, plays ping-pong on each and checks every byte.
//   load HOST:PORT --connections N --size BYTES (--seconds S | --requests R)    prints one key=value line
//   load HOST:PORT --connections N --size BYTES --steps     steps: see common.h; the connections stay open between them
//   load HOST:PORT --connections N (--idle | --unread | --once) --hold SECONDS     prints N, then holds them
// --unread sends one byte per connection and reads nothing. Any error, any wrong byte: exit 1.
// --lines: what is sent are lines, one a request.

#define _GNU_SOURCE
#include "common.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_CONNECTIONS = 20000, CHUNK = 65536, EVENTS = 256, BATCH = 64, BATCH_PAUSE_MS = 2, STALL_S = 30 };
static const uint64_t SECOND = 1000000000;

// Positions count the bytes of the connection's whole life; a request is outstanding while received < due.
struct connection {
  int fd;
  bool wrong_byte;
  uint64_t sent, received, due, started;
};

enum mode { PING_PONG, STEPS, ONCE, IDLE, UNREAD };
static enum mode mode = PING_PONG;
static uint64_t connection_count = 1, size = 64, request_limit;
static double seconds, hold_seconds;

static bool lines;  // each request ends with the only newline in it

static struct connection *connections;
static int epoll_fd;
static uint64_t issued, answered, outstanding, errors, mismatches, deadline = UINT64_MAX;
static uint64_t latencies[64 * 64];  // see slot()

static void usage(void) {
  fputs("usage: load HOST:PORT --connections N --size BYTES (--seconds S | --requests R |\n"
        "            --steps | --idle | --unread | --once) [--lines] [--hold SECONDS]\n", stderr);
  exit(2);
}

// Log-linear histogram of nanoseconds: 64 slots for each power of two, so a slot is at most 1.6 % wide.
static size_t slot(uint64_t ns) {
  int shift = ns < 128 ? 0 : 57 - __builtin_clzll(ns);
  return ns < 64 ? ns : (size_t)(shift + 1) * 64 + ((ns >> shift) & 63);
}

static double percentile_us(double fraction) {
  uint64_t wanted = (uint64_t)((double)answered * fraction), seen = 0;
  for (size_t i = 0; i < sizeof latencies / sizeof *latencies; i++) {
    seen += latencies[i];
    if (seen > wanted) return (i < 64 ? (double)i : (double)((64 + i % 64) << (i / 64 - 1))) / 1000;
  }
  return 0;
}

static void make_lines(char *bytes, uint64_t position, size_t length) {
  for (size_t i = 0; i < length; i++) bytes[i] = (position + i + 1) % size == 0 ? '\n' : (char)('a' + (bytes[i] & 15));
}

// The bytes a connection sends at a position: a counter, scrambled so that no two connections and no two
// places in a stream look alike. Computed twice rather than kept, so 20,000 connections cost no memory.
static const char *pattern(const struct connection *c, uint64_t position, size_t length) {
  static uint64_t words[CHUNK / 8 + 2];
  uint64_t first = position / 8, last = (position + length + 7) / 8;
  uint64_t origin = (uint64_t)(c - connections + 1) << 40;
  for (uint64_t i = first; i < last; i++) {
    uint64_t word = (origin + i) * 0x9e3779b97f4a7c15u;
    words[i - first] = word ^ (word >> 32);
  }
  if (lines) make_lines((char *)words, first * 8, (last - first) * 8);
  return (const char *)words + position % 8;
}

static void drop(struct connection *c) {
  if (c->received < c->due) outstanding--;
  errors++;
  close(c->fd);
  c->fd = -1;
}

// Sends what is due; a full socket is taken up again when epoll reports room.
static void send_due(struct connection *c) {
  while (c->sent < c->due) {
    size_t length = c->due - c->sent < CHUNK ? c->due - c->sent : CHUNK;
    ssize_t count = send(c->fd, pattern(c, c->sent, length), length, MSG_NOSIGNAL);
    if (count < 0 && errno == EAGAIN) return;
    if (count < 0) {
      drop(c);
      return;
    }
    c->sent += (uint64_t)count;
  }
}

static void issue(struct connection *c, uint64_t at) {
  if (issued >= request_limit || at >= deadline) return;
  issued++;
  outstanding++;
  c->started = at;
  c->due += size;
  send_due(c);
}

static void complete(struct connection *c) {
  uint64_t at = now();
  latencies[slot(at - c->started)]++;
  answered++;
  outstanding--;
  mismatches += c->wrong_byte;
  c->wrong_byte = false;
  issue(c, at);
}

static void receive(struct connection *c) {
  static char buffer[CHUNK + 1];
  do {
    uint64_t left = c->due - c->received;
    size_t wanted = left < CHUNK ? left : CHUNK;
    // One byte more than is due, so that a server that says too much is noticed.
    ssize_t count = recv(c->fd, buffer, wanted + 1, 0);
    if (count < 0 && errno == EAGAIN) return;
    if (count > 0 && (uint64_t)count > left) mismatches++;
    if (count <= 0 || (uint64_t)count > left) {
      drop(c);
      return;
    }
    if (memcmp(buffer, pattern(c, c->received, (size_t)count), (size_t)count) != 0) c->wrong_byte = true;
    c->received += (uint64_t)count;
  } while (c->received < c->due);
  complete(c);
}

// Waits once and serves what came; returns the number of events.
static int serve_events(int timeout_ms) {
  struct epoll_event events[EVENTS];
  int count = epoll_wait(epoll_fd, events, EVENTS, timeout_ms);
  if (count < 0 && errno != EINTR) fail("epoll_wait");
  for (int i = 0; i < count; i++) {
    struct connection *c = &connections[events[i].data.u32];
    if (c->fd < 0) continue;
    if (mode == UNREAD) {  // only an end of the connection is watched for
      drop(c);
      continue;
    }
    if (c->sent < c->due) send_due(c);
    if (c->fd >= 0) receive(c);
  }
  return count;
}

static void ping_pong(void) {
  uint64_t start = now(), last_event = start;
  issued = answered = 0;
  memset(latencies, 0, sizeof latencies);
  if (seconds > 0) deadline = start + (uint64_t)(seconds * 1e9);
  for (uint64_t i = 0; i < connection_count; i++) issue(&connections[i], now());
  while (outstanding > 0) {
    if (serve_events(1000) > 0) {
      last_event = now();
    } else if (now() - last_event > STALL_S * SECOND) {
      errors += outstanding;
      break;
    }
  }
  double elapsed = (double)(now() - start) / 1e9;
  if (mode == ONCE) return;
  printf("connections=%" PRIu64 " requests=%" PRIu64 " seconds=%.3f requests_per_second=%.0f p50_us=%.1f "
         "p99_us=%.1f errors=%" PRIu64 " mismatches=%" PRIu64 "\n",
         connection_count, answered, elapsed, (double)answered / elapsed, percentile_us(0.5),
         percentile_us(0.99), errors, mismatches);
  fflush(stdout);
}

static void hold(void) {
  printf("%s %" PRIu64 "\n", mode == ONCE ? "answered" : "connected",
         mode == ONCE ? answered - mismatches : connection_count - errors);
  fflush(stdout);
  uint64_t end = now() + (uint64_t)(hold_seconds * 1e9);
  for (uint64_t at; (at = now()) < end;) serve_events((int)((end - at) / 1000000 + 1));
}

static void step(double duration) {
  seconds = duration;
  ping_pong();
}

static void connect_one(uint32_t index, const struct addrinfo *address) {
  struct connection *c = &connections[index];
  c->fd = connect_to(address, index);
  if (mode == UNREAD && send(c->fd, "u", 1, MSG_NOSIGNAL) != 1) fail("send");
  uint32_t wanted = mode == UNREAD ? EPOLLRDHUP | EPOLLET : EPOLLIN | EPOLLOUT | EPOLLET;
  struct epoll_event event = {.events = wanted, .data.u32 = index};
  if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event) != 0) fail("epoll_ctl");
}

// The kernel finishes a handshake before the server accepts it, so connecting does not slow down with the
// server: the pause after each batch is what keeps the accept queue from overflowing.
static void connect_all(const struct addrinfo *address) {
  const struct timespec pause = {.tv_nsec = BATCH_PAUSE_MS * 1000000};
  connections = calloc(connection_count, sizeof *connections);
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  if (connections == NULL || epoll_fd < 0) fail("start");
  for (uint32_t i = 0; i < connection_count; i++) {
    if (i > 0 && i % BATCH == 0) nanosleep(&pause, NULL);
    connect_one(i, address);
  }
}

static void parse(int argc, char **argv) {
  const struct option options[] = {
      {"connections", 1, NULL, 'c'}, {"size", 1, NULL, 'b'}, {"seconds", 1, NULL, 's'},
      {"requests", 1, NULL, 'r'},    {"hold", 1, NULL, 'h'}, {"idle", 0, NULL, 'i'},
      {"unread", 0, NULL, 'u'},      {"once", 0, NULL, 'o'},
      {"steps", 0, NULL, 't'},       {"lines", 0, NULL, 'l'},
      {0}};
  for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
    switch (option) {
    case 'c': connection_count = (uint64_t)number(optarg, 1, MAX_CONNECTIONS); break;
    case 'b': size = (uint64_t)number(optarg, 1, 16 << 20); break;
    case 's': seconds = number(optarg, 0.001, 86400); break;
    case 'r': request_limit = (uint64_t)number(optarg, 1, 1e12); break;
    case 'h': hold_seconds = number(optarg, 0, 86400); break;
    case 'i': mode = IDLE; break;
    case 'u': mode = UNREAD; break;
    case 'o': mode = ONCE; break;
    case 't': mode = STEPS; break;
    case 'l': lines = true; break;
    default: usage();
    }
  }
  if (optind != argc - 1) usage();
  if (mode == PING_PONG && (seconds > 0) == (request_limit > 0)) usage();
  if (seconds > 0 || mode == STEPS) request_limit = UINT64_MAX;
  if (mode == ONCE) request_limit = connection_count;
}

int main(int argc, char **argv) {
  parse(argc, argv);
  raise_file_limit();
  struct addrinfo *address = resolve(argv[optind], SOCK_STREAM);
  if (address == NULL) usage();
  connect_all(address);
  if (mode == PING_PONG || mode == ONCE) ping_pong();
  if (mode == STEPS) run_steps(connection_count, step);
  if (mode == ONCE || mode == IDLE || mode == UNREAD) hold();
  if (errors > 0 || mismatches > 0) {
    fprintf(stderr, "load: errors=%" PRIu64 " mismatches=%" PRIu64 "\n", errors, mismatches);
    return 1;
  }
  return 0;
}
