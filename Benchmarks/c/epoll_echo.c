// SPDX-License-Identifier: Apache-2.0
// The reference the runtime is measured against: the plainest fast TCP echo server in C. One thread,
// level-triggered epoll, each connection registered once, read into one static buffer, written back at once.
//   epoll_echo [--host H] [--port P]      prints "listening on H:P"; SIGINT and SIGTERM end it with 0

#define _GNU_SOURCE
#include "common.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { BUFFER_SIZE = 65536, EVENTS = 256, BACKOFF_NS = 100000000 };

// `rest` holds what a write did not take; while there is some, we wait to write and do not read.
struct connection {
  int fd;
  size_t rest_length;
  char *rest;
};

static int epoll_fd;
static struct connection listener, signals;
static char buffer[BUFFER_SIZE];
// Out of descriptors: the listener is disarmed (it would stay readable and spin) until this time; 0 = armed.
static uint64_t accept_again_at;

static bool watch(int operation, struct connection *c, uint32_t events) {
  struct epoll_event event = {.events = events, .data.ptr = c};
  return epoll_ctl(epoll_fd, operation, c->fd, &event) == 0;
}

static void drop(struct connection *c) {
  close(c->fd);  // leaves the epoll set by itself: we hold the only descriptor
  free(c->rest);
  free(c);
}

static void add_connection(int fd) {
  struct connection *c = calloc(1, sizeof *c);
  if (c == NULL) {
    close(fd);
    return;
  }
  c->fd = fd;
  if (!watch(EPOLL_CTL_ADD, c, EPOLLIN)) drop(c);
}

static void accept_all(void) {
  for (;;) {
    int fd = accept_from(listener.fd);
    if (fd >= 0) {
      add_connection(fd);
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      accept_again_at = now() + BACKOFF_NS;
      watch(EPOLL_CTL_MOD, &listener, 0);
      return;
    } else if (errno == EAGAIN) {
      return;
    } else if (errno != EINTR && errno != ECONNABORTED && errno != EPROTO) {
      fail("accept4");
    }
  }
}

static void accept_again_when_due(void) {
  if (accept_again_at == 0 || now() < accept_again_at) return;
  accept_again_at = 0;
  watch(EPOLL_CTL_MOD, &listener, EPOLLIN);
}

static bool keep_rest(struct connection *c, const char *bytes, size_t length) {
  c->rest = malloc(length);
  if (c->rest == NULL) return false;
  memcpy(c->rest, bytes, length);
  c->rest_length = length;
  return watch(EPOLL_CTL_MOD, c, EPOLLOUT);
}

static void echo(struct connection *c) {
  ssize_t count = read(c->fd, buffer, sizeof buffer);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (count <= 0) {
    drop(c);
    return;
  }
  ssize_t written = write(c->fd, buffer, (size_t)count);
  if (written == count) return;
  if (written < 0 && (errno == EAGAIN || errno == EINTR)) written = 0;
  if (written < 0 || !keep_rest(c, buffer + written, (size_t)(count - written))) drop(c);
}

static void write_rest(struct connection *c) {
  ssize_t written = write(c->fd, c->rest, c->rest_length);
  if (written < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (written < 0) {
    drop(c);
    return;
  }
  c->rest_length -= (size_t)written;
  if (c->rest_length > 0) {
    memmove(c->rest, c->rest + written, c->rest_length);
    return;
  }
  free(c->rest);
  c->rest = NULL;
  if (!watch(EPOLL_CTL_MOD, c, EPOLLIN)) drop(c);
}

static void run(void) {
  struct epoll_event events[EVENTS];
  for (;;) {
    int count = epoll_wait(epoll_fd, events, EVENTS, accept_again_at ? BACKOFF_NS / 1000000 : -1);
    if (count < 0 && errno != EINTR) fail("epoll_wait");
    for (int i = 0; i < count; i++) {
      struct connection *c = events[i].data.ptr;
      if (c == &signals) return;
      if (c == &listener) accept_all();
      else if (c->rest) write_rest(c);
      else echo(c);
    }
    accept_again_when_due();
  }
}

// Blocked and read as a descriptor, so that no signal can fall between a check and the wait.
static void watch_signals(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  sigprocmask(SIG_BLOCK, &set, NULL);
  signals.fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
  if (signals.fd < 0 || !watch(EPOLL_CTL_ADD, &signals, EPOLLIN)) fail("signalfd");
}

int main(int argc, char **argv) {
  listener.fd = listen_as_told(argc, argv);
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  if (epoll_fd < 0) fail("epoll_create1");
  watch_signals();
  if (!watch(EPOLL_CTL_ADD, &listener, EPOLLIN)) fail("epoll_ctl");
  announce(listener.fd);
  run();
  return 0;
}
