/* SPDX-License-Identifier: Apache-2.0
 * epoll for Swift, whose Glibc module leaves it out. */
#pragma once
#include <errno.h>
#include <stdint.h>
#include <sys/epoll.h>

/* A set that ends with exec; -errno when the system refuses. */
static inline int epoll_make(void) {
  int set = epoll_create1(EPOLL_CLOEXEC);
  return set < 0 ? -errno : set;
}

/* Has `set` report `fd` once, when it is ready for `events`; 0 or -errno. `is_new`: it was not in the set before, so whatever had
 * that number when it was, is closed. */
static inline int epoll_watch_once(int set, int fd, uint32_t events, int *is_new) {
  struct epoll_event event = {.events = events | EPOLLONESHOT, .data.fd = fd};
  *is_new = 0;
  if (epoll_ctl(set, EPOLL_CTL_MOD, fd, &event) == 0) return 0;
  if (errno != ENOENT) return -errno;
  *is_new = 1;
  return epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : -errno;
}

/* One descriptor that is ready, and for what. */
struct epoll_report {
  int fd;
  uint32_t events;
};

/* What is ready now, without waiting: how many, or -errno. */
static inline int epoll_take(int set, struct epoll_report *reports, int most) {
  struct epoll_event events[128];
  int count = epoll_wait(set, events, most < 128 ? most : 128, 0);
  for (int i = 0; i < count; i++) reports[i] = (struct epoll_report){events[i].data.fd, events[i].events};
  return count < 0 ? -errno : count;
}
