// SPDX-License-Identifier: Apache-2.0
// The load generator for streams of bytes: sends to, or receives from, a server for as long as each step says.
//   bulk_load HOST:PORT --connections N (--send | --receive)      steps: see common.h; one key=value line for each

#define _GNU_SOURCE
#include "common.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SIZE = 65536, EVENTS = 64, PORTION = 16, FILL = 0x5a };

static char buffer[SIZE];
static bool sending, receiving;
static int epoll_fd, memory;
static uint64_t bytes, errors, mismatches;

// The generator must be faster than any server, else the kernel does a changing share of the server's work in the
// generator's time: it sends pages without copying them, and of what it receives it looks at the beginnings only.
static ssize_t send_some(int fd) {
  off_t from = 0;
  return sendfile(fd, memory, &from, SIZE);
}

static ssize_t receive_some(int fd, bool look) {
  ssize_t count = recv(fd, buffer, sizeof buffer, look ? 0 : MSG_TRUNC);
  for (ssize_t i = 0; look && i < count; i++) mismatches += buffer[i] != FILL;
  return count;
}

// A few at a time, so that the connections share.
static void move(int fd) {
  for (int i = 0; i < PORTION; i++) {
    ssize_t count = sending ? send_some(fd) : receive_some(fd, bytes == 0);
    if (count < 0 && errno == EAGAIN) return;
    if (count <= 0) {
      errors++;
      epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, NULL);
      return;
    }
    bytes += (uint64_t)count;
  }
}

static void run(double seconds) {
  struct epoll_event events[EVENTS];
  uint64_t start = now(), end = start + (uint64_t)(seconds * 1e9);
  bytes = 0;
  while (now() < end) {
    int count = epoll_wait(epoll_fd, events, EVENTS, 10);
    for (int i = 0; i < count; i++) move(events[i].data.fd);
  }
  printf("bytes=%" PRIu64 " seconds=%.3f errors=%" PRIu64 " mismatches=%" PRIu64 "\n", bytes,
         (double)(now() - start) / 1e9, errors, mismatches);
}

int main(int argc, char **argv) {
  const struct option options[] = {
      {"connections", 1, NULL, 'c'}, {"send", 0, NULL, 's'}, {"receive", 0, NULL, 'r'}, {0}};
  double connections = 1;
  for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
    if (option == 'c') connections = number(optarg, 1, 1000);
    else if (option == 's') sending = true;
    else if (option == 'r') receiving = true;
    else return 2;
  }
  struct addrinfo *address = optind == argc - 1 ? resolve(argv[optind], SOCK_STREAM) : NULL;
  if (address == NULL || !(connections >= 1) || sending == receiving) {
    fputs("usage: bulk_load HOST:PORT --connections N (--send | --receive)\n", stderr);
    return 2;
  }
  memset(buffer, FILL, sizeof buffer);
  memory = memfd_create("bulk", MFD_CLOEXEC);
  if (memory < 0 || write(memory, buffer, sizeof buffer) != SIZE) fail("memfd_create");
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  for (uint32_t i = 0; i < (uint32_t)connections; i++) {
    struct epoll_event event = {.events = sending ? EPOLLOUT : EPOLLIN};
    event.data.fd = connect_to(address, i);
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, event.data.fd, &event) != 0) fail("epoll_ctl");
  }
  run_steps((uint64_t)connections, run);
  return 0;
}
