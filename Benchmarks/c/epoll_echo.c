// SPDX-License-Identifier: Apache-2.0
// The reference the runtime is measured against: the plainest fast TCP echo server in C. One thread,
// level-triggered epoll, each connection registered once, read into one static buffer, written back at once.
//   epoll_echo [--host H] [--port P]      prints "listening on H:P"; SIGINT and SIGTERM end it with 0

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER_SIZE = 4096, EVENTS = 256, BACKLOG = 1024, BACKOFF_MS = 100 };

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
static int64_t accept_again_at;

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static int64_t now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

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
  int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
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
    int fd = accept4(listener.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      add_connection(fd);
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      accept_again_at = now_ms() + BACKOFF_MS;
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
  if (accept_again_at == 0 || now_ms() < accept_again_at) return;
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
    int count = epoll_wait(epoll_fd, events, EVENTS, accept_again_at ? BACKOFF_MS : -1);
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

static void listen_on(const char *host, uint16_t port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
  socklen_t length = sizeof address;
  int on = 1;
  if (inet_pton(AF_INET, host, &address.sin_addr) != 1) {
    fprintf(stderr, "epoll_echo: not an IPv4 address: %s\n", host);
    exit(2);
  }
  listener.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (listener.fd < 0) fail("socket");
  setsockopt(listener.fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(listener.fd, (struct sockaddr *)&address, length) != 0) fail("bind");
  if (listen(listener.fd, BACKLOG) != 0) fail("listen");
  getsockname(listener.fd, (struct sockaddr *)&address, &length);
  if (!watch(EPOLL_CTL_ADD, &listener, EPOLLIN)) fail("epoll_ctl");
  printf("listening on %s:%u\n", host, ntohs(address.sin_port));
  fflush(stdout);
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
  signal(SIGPIPE, SIG_IGN);
}

int main(int argc, char **argv) {
  const char *host = "127.0.0.1";
  char *end = "";
  unsigned long port = 0;
  bool understood = true;
  const struct option options[] = {{"host", 1, NULL, 'h'}, {"port", 1, NULL, 'p'}, {0}};
  for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
    if (option == 'h') host = optarg;
    if (option == 'p') port = strtoul(optarg, &end, 10);
    if (option == '?') understood = false;
  }
  if (!understood || optind != argc || *end != 0 || port > UINT16_MAX) {
    fputs("usage: epoll_echo [--host H] [--port P]\n", stderr);
    return 2;
  }
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  if (epoll_fd < 0) fail("epoll_create1");
  watch_signals();
  listen_on(host, (uint16_t)port);
  run();
  return 0;
}
