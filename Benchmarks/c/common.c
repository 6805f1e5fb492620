// SPDX-License-Identifier: Apache-2.0
// See common.h.

#define _GNU_SOURCE
#include "common.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BACKLOG = 1024, PER_SOURCE = 8192, CONNECT_LIMIT_S = 30 };

void fail(const char *what) {
  fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, strerror(errno));
  exit(1);
}

uint64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void raise_file_limit(void) {
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
}

double number(const char *text, double minimum, double maximum) {
  char *end;
  double value = strtod(text, &end);
  if (end != text && *end == 0 && value >= minimum && value <= maximum) return value;
  fprintf(stderr, "%s: not a number from %g to %g: %s\n", program_invocation_short_name, minimum, maximum, text);
  exit(2);
}

struct addrinfo *resolve(char *text, int type) {
  struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = type}, *found;
  char *colon = strrchr(text, ':');
  if (colon == NULL || colon == text) return NULL;
  *colon = 0;
  if (text[0] == '[' && colon[-1] == ']') {
    text++;
    colon[-1] = 0;
  }
  return getaddrinfo(text, colon + 1, &hints, &found) == 0 ? found : NULL;
}

// Past half of the ports of one source address the kernel's search for a free one takes milliseconds, and at
// 28,000 it fails; on loopback so many connections therefore come from several addresses.
static void spread_source(int fd, uint32_t index, const struct addrinfo *address) {
  const struct sockaddr_in *server = (const struct sockaddr_in *)(const void *)address->ai_addr;
  if (index < PER_SOURCE || address->ai_family != AF_INET || ntohl(server->sin_addr.s_addr) >> 24 != 127) return;
  struct sockaddr_in source = {.sin_family = AF_INET};
  source.sin_addr.s_addr = htonl(INADDR_LOOPBACK + index / PER_SOURCE);
  int on = 1;
  setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
  if (bind(fd, (const struct sockaddr *)&source, sizeof source) != 0) fail("bind");
}

int connect_to(const struct addrinfo *address, uint32_t index) {
  struct timeval limit = {.tv_sec = CONNECT_LIMIT_S};
  int on = 1, fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) fail("socket");
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  spread_source(fd, index, address);
  if (connect(fd, address->ai_addr, address->ai_addrlen) != 0) fail("connect");
  if (fcntl(fd, F_SETFL, O_NONBLOCK) != 0) fail("fcntl");
  return fd;
}

void run_steps(uint64_t connections, void (*run)(double seconds)) {
  printf("connected %" PRIu64 "\n", connections);
  fflush(stdout);
  char line[64];
  while (fgets(line, sizeof line, stdin) != NULL) {
    line[strcspn(line, "\n")] = 0;
    run(number(line, 0.001, 86400));
    fflush(stdout);
  }
}

static struct sockaddr_in told_address(int argc, char **argv) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  const struct option options[] = {{"host", 1, NULL, 'h'}, {"port", 1, NULL, 'p'}, {0}};
  double port = 0;
  bool understood = true;
  for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
    if (option == 'h') understood &= inet_pton(AF_INET, optarg, &address.sin_addr) == 1;
    if (option == 'p') port = number(optarg, 0, UINT16_MAX);
    if (option == '?') understood = false;
  }
  if (!understood || optind != argc) {
    fprintf(stderr, "usage: %s [--host H] [--port P]\n", program_invocation_short_name);
    exit(2);
  }
  address.sin_port = htons((uint16_t)port);
  return address;
}

int listen_as_told(int argc, char **argv) {
  struct sockaddr_in address = told_address(argc, argv);
  int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) fail("socket");
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0) fail("bind");
  if (listen(fd, BACKLOG) != 0) fail("listen");
  raise_file_limit();
  signal(SIGPIPE, SIG_IGN);
  return fd;
}

void announce(int fd) {
  struct sockaddr_in address;
  socklen_t length = sizeof address;
  char host[INET_ADDRSTRLEN];
  getsockname(fd, (struct sockaddr *)&address, &length);
  printf("listening on %s:%u\n", inet_ntop(AF_INET, &address.sin_addr, host, sizeof host), ntohs(address.sin_port));
  fflush(stdout);
}

int accept_from(int listener) {
  int on = 1, fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd >= 0) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}
