// SPDX-License-Identifier: Apache-2.0
// The load generator for short connections: connects, has one request answered (none if its size is 0), says that it is
// done, waits for the server to close, and begins anew; N of them at a time.
//   churn_load HOST:PORT --connections N --size BYTES      steps: see common.h; one key=value line for each
//   churn_load HOST:PORT --connections N --size BYTES --total T      that many, and the line

#define _GNU_SOURCE
#include "common.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_SIZE = 4096, MAX_AT_ONCE = 1000, EVENTS = 256, SOURCES = 32, PER_SOURCE = 8192, STALL_MS = 10000 };

struct connection {
  int fd;
  size_t received;
};

static struct connection connections[MAX_AT_ONCE];
static const struct addrinfo *address;
static char outgoing[MAX_SIZE];
static size_t size = 64;
static int epoll_fd;
static uint64_t at_once = 1, opened, ended, open_now, errors, mismatches;

static void say_done(struct connection *c) {
  if (shutdown(c->fd, SHUT_WR) != 0) errors++;
}

static void begin(struct connection *c) {
  *c = (struct connection){.fd = connect_to(address, opened++ % SOURCES * PER_SOURCE)};
  open_now++;
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
  if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event) != 0) fail("epoll_ctl");
  if (size == 0) say_done(c);
  else if (send(c->fd, outgoing, size, MSG_NOSIGNAL) != (ssize_t)size) errors++;
}

// Takes what came; whether the connection is over.
static bool take(struct connection *c) {
  char incoming[MAX_SIZE + 1];
  ssize_t count = recv(c->fd, incoming, sizeof incoming, 0);
  if (count > 0 && c->received + (size_t)count <= size) {
    if (memcmp(incoming, outgoing + c->received, (size_t)count) != 0) mismatches++;
    c->received += (size_t)count;
    if (c->received == size) say_done(c);
    return false;
  }
  if (count != 0 || c->received < size) errors++;
  return true;
}

static void run_until(uint64_t end, uint64_t total) {
  struct epoll_event events[EVENTS];
  uint64_t start = now(), before = opened;
  ended = 0;
  for (uint64_t i = 0; i < at_once && i < total; i++) begin(&connections[i]);
  while (open_now > 0) {
    int count = epoll_wait(epoll_fd, events, EVENTS, STALL_MS);
    if (count <= 0) {
      errors += open_now;
      break;
    }
    for (int i = 0; i < count; i++) {
      struct connection *c = events[i].data.ptr;
      if (!take(c)) continue;
      close(c->fd);
      open_now--;
      ended++;
      if (opened - before < total && now() < end) begin(c);
    }
  }
  printf("requests=%" PRIu64 " seconds=%.3f errors=%" PRIu64 " mismatches=%" PRIu64 "\n", ended,
         (double)(now() - start) / 1e9, errors, mismatches);
}

static void run(double seconds) { run_until(now() + (uint64_t)(seconds * 1e9), UINT64_MAX); }

int main(int argc, char **argv) {
  const struct option options[] = {{"connections", 1, NULL, 'c'}, {"size", 1, NULL, 's'}, {"total", 1, NULL, 't'}, {0}};
  uint64_t total = 0;
  bool understood = true;
  for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
    if (option == 'c') at_once = (uint64_t)number(optarg, 1, MAX_AT_ONCE);
    if (option == 's') size = (size_t)number(optarg, 0, MAX_SIZE);
    if (option == 't') total = (uint64_t)number(optarg, 1, 1e9);
    if (option == '?') understood = false;
  }
  address = optind == argc - 1 ? resolve(argv[optind], SOCK_STREAM) : NULL;
  if (!understood || address == NULL) {
    fputs("usage: churn_load HOST:PORT --connections N --size BYTES [--total T]\n", stderr);
    return 2;
  }
  for (size_t i = 0; i < size; i++) outgoing[i] = (char)(i * 31);
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  if (total > 0) run_until(UINT64_MAX, total);
  else run_steps(at_once, run);
  return errors + mismatches > 0;
}
