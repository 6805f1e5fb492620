// SPDX-License-Identifier: Apache-2.0
// The load generator: opens N connections to an echo server, plays ping-pong on each and checks every byte.
//   load HOST:PORT --connections N --size BYTES (--seconds S | --requests R)    prints one key=value line
//   load HOST:PORT --connections N --size BYTES --steps     the same for each line of seconds on stdin
//   load HOST:PORT --connections N (--idle | --unread | --once) --hold SECONDS     prints N, then holds them
// --unread sends one byte per connection and reads nothing. Any error, any wrong byte: exit 1.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
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

static struct connection *connections;
static int epoll_fd;
static uint64_t issued, answered, outstanding, errors, mismatches, deadline = UINT64_MAX;
static uint64_t latencies[64 * 64];  // see slot()

static void fail(const char *what) {
  fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
  exit(1);
}

static uint64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

static void usage(void) {
  fputs("usage: load HOST:PORT --connections N --size BYTES (--seconds S | --requests R |\n"
        "            --steps | --idle | --unread | --once) [--hold SECONDS]\n", stderr);
  exit(2);
}

static double number(const char *text, double minimum, double maximum) {
  char *end;
  double value = strtod(text, &end);
  if (end == text || *end != 0 || !(value >= minimum && value <= maximum)) usage();
  return value;
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

// The connections stay open and silent between steps, so whoever asks for them can read the server's CPU time
// with nothing under way, and take turns with another server in slices shorter than the machine's moods.
static void run_steps(void) {
  printf("connected %" PRIu64 "\n", connection_count);
  fflush(stdout);
  char line[64];
  while (fgets(line, sizeof line, stdin) != NULL) {
    line[strcspn(line, "\n")] = 0;
    seconds = number(line, 0.001, 86400);
    ping_pong();
  }
}

// Past half of the ports of one source address the kernel's search for a free one takes milliseconds, and at
// 28,000 it fails; on loopback every 8,192 connections therefore come from an address of their own.
static void spread_source(int fd, uint32_t index, const struct addrinfo *address) {
  const struct sockaddr_in *server = (const struct sockaddr_in *)(const void *)address->ai_addr;
  if (index < 8192 || address->ai_family != AF_INET || ntohl(server->sin_addr.s_addr) >> 24 != 127) return;
  struct sockaddr_in source = {.sin_family = AF_INET};
  source.sin_addr.s_addr = htonl(INADDR_LOOPBACK + index / 8192);
  int on = 1;
  setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
  if (bind(fd, (const struct sockaddr *)&source, sizeof source) != 0) fail("bind");
}

static void connect_one(uint32_t index, const struct addrinfo *address) {
  struct connection *c = &connections[index];
  struct timeval limit = {.tv_sec = STALL_S};
  int on = 1;
  c->fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (c->fd < 0) fail("socket");
  setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);  // bounds the connect
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  spread_source(c->fd, index, address);
  if (connect(c->fd, address->ai_addr, address->ai_addrlen) != 0) fail("connect");
  if (fcntl(c->fd, F_SETFL, O_NONBLOCK) != 0) fail("fcntl");
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

static struct addrinfo *resolve(char *text) {
  struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM}, *found;
  char *colon = strrchr(text, ':');
  if (colon == NULL) usage();
  *colon = 0;
  if (text[0] == '[' && colon[-1] == ']') {
    text++;
    colon[-1] = 0;
  }
  if (getaddrinfo(text, colon + 1, &hints, &found) != 0) usage();
  return found;
}

static void parse(int argc, char **argv) {
  const struct option options[] = {
      {"connections", 1, NULL, 'c'}, {"size", 1, NULL, 'b'}, {"seconds", 1, NULL, 's'},
      {"requests", 1, NULL, 'r'},    {"hold", 1, NULL, 'h'}, {"idle", 0, NULL, 'i'},
      {"unread", 0, NULL, 'u'},      {"once", 0, NULL, 'o'},
      {"steps", 0, NULL, 't'},       {0}};
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
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  connect_all(resolve(argv[optind]));
  if (mode == PING_PONG || mode == ONCE) ping_pong();
  if (mode == STEPS) run_steps();
  if (mode == ONCE || mode == IDLE || mode == UNREAD) hold();
  if (errors > 0 || mismatches > 0) {
    fprintf(stderr, "load: errors=%" PRIu64 " mismatches=%" PRIu64 "\n", errors, mismatches);
    return 1;
  }
  return 0;
}
