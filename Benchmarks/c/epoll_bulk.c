// SPDX-License-Identifier: Apache-2.0
// The reference for streams of bytes: takes all that comes and drops it, or sends for ever. Level-triggered epoll.
//   epoll_sink | epoll_source [--host H] [--port P]      one program: its name says which; any signal ends it

#define _GNU_SOURCE
#include "common.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SIZE = 65536, EVENTS = 256, PORTION = 16 };

static char buffer[SIZE];
static bool source;
static int epoll_fd, listener;

static void watch(int fd, uint32_t events) {
  struct epoll_event event = {.events = events, .data.fd = fd};
  if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) fail("epoll_ctl");
}

// As often as it goes, within bounds: for the others' sake, and since each wait costs a system call.
static void move(int fd) {
  for (int i = 0; i < PORTION; i++) {
    ssize_t count = source ? send(fd, buffer, sizeof buffer, 0) : read(fd, buffer, sizeof buffer);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (count <= 0) {
      close(fd);
      return;
    }
    if (count < SIZE) return;
  }
}

int main(int argc, char **argv) {
  struct epoll_event events[EVENTS];
  source = strcmp(program_invocation_short_name, "epoll_source") == 0;
  memset(buffer, 0x5a, sizeof buffer);
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  listener = listen_as_told(argc, argv);
  watch(listener, EPOLLIN);
  announce(listener);
  for (;;) {
    int count = epoll_wait(epoll_fd, events, EVENTS, -1);
    for (int i = 0; i < count; i++) {
      if (events[i].data.fd != listener) move(events[i].data.fd);
      else for (int fd; (fd = accept_from(listener)) >= 0;) watch(fd, source ? EPOLLOUT : EPOLLIN);
    }
  }
}
