// SPDX-License-Identifier: Apache-2.0
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include "culvert.h"

#include <sched.h>
#include <stdlib.h>

#if defined(__linux__)
#include <linux/errqueue.h>
#endif

_Thread_local void *culvert_thread_loop = NULL;
_Thread_local int culvert_thread_budget = 0;

// --- threads ---------------------------------------------------------------------------------------------

struct start {
  void (*body)(void *);
  void *context;
};

static void *run_thread(void *argument) {
  struct start start = *(struct start *)argument;
  free(argument);
  start.body(start.context);
  culvert_thread_loop = NULL;
  return NULL;
}

static int apply_options(pthread_attr_t *attributes, struct culvert_thread_options options) {
  int error = pthread_attr_setdetachstate(attributes, PTHREAD_CREATE_DETACHED);
  if (error == 0 && options.stack_size > 0) error = pthread_attr_setstacksize(attributes, options.stack_size);
  if (error == 0 && options.policy >= 0) {
    struct sched_param parameters;
    memset(&parameters, 0, sizeof parameters);
    parameters.sched_priority = options.priority;
    error = pthread_attr_setinheritsched(attributes, PTHREAD_EXPLICIT_SCHED);
    if (error == 0) error = pthread_attr_setschedpolicy(attributes, options.policy);
    if (error == 0) error = pthread_attr_setschedparam(attributes, &parameters);
  }
  if (error == 0 && options.affinity != 0) {
#if defined(__linux__) && defined(__GLIBC__)
    cpu_set_t set;
    CPU_ZERO(&set);
    for (int cpu = 0; cpu < 64; cpu++)
      if (options.affinity >> cpu & 1) CPU_SET(cpu, &set);
    error = pthread_attr_setaffinity_np(attributes, sizeof set, &set);
#else
    error = ENOTSUP;
#endif
  }
  return error;
}

int culvert_thread_start(struct culvert_thread_options options, void (*body)(void *), void *context) {
  struct start *start = malloc(sizeof *start);
  if (start == NULL) return ENOMEM;
  start->body = body;
  start->context = context;

  pthread_attr_t attributes;
  int error = pthread_attr_init(&attributes);
  if (error == 0) {
    error = apply_options(&attributes, options);
    pthread_t thread;
    if (error == 0) error = pthread_create(&thread, &attributes, run_thread, start);
    pthread_attr_destroy(&attributes);
  }
  if (error != 0) free(start);
  return error;
}

void culvert_thread_set_name(const char *name) {
  char cut[16];
  strncpy(cut, name, sizeof cut - 1);
  cut[sizeof cut - 1] = 0;
#if defined(__APPLE__)
  pthread_setname_np(cut);
#elif defined(__linux__)
  pthread_setname_np(pthread_self(), cut);
#endif
}

// --- errors ----------------------------------------------------------------------------------------------

const char *culvert_error_text(int number) {
  static _Thread_local char text[128];
#if defined(__GLIBC__)
  return strerror_r(number, text, sizeof text);
#else
  return strerror_r(number, text, sizeof text) == 0 ? text : "unknown error";
#endif
}

// --- sockets ---------------------------------------------------------------------------------------------

int culvert_set_nonblocking(int fd, bool on) {
  int flags = fcntl(fd, F_GETFL);
  if (flags < 0) return -1;
  int wanted = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
  return wanted == flags ? 0 : fcntl(fd, F_SETFL, wanted);
}

bool culvert_is_nonblocking(int fd) {
  int flags = fcntl(fd, F_GETFL);
  return flags >= 0 && (flags & O_NONBLOCK) != 0;
}

void culvert_fill_standard_descriptors(void) {
  int fd;
  do fd = open("/dev/null", O_RDWR);
  while (fd >= 0 && fd <= STDERR_FILENO);
  if (fd > STDERR_FILENO) close(fd);
}

bool culvert_is_open(int fd) { return fcntl(fd, F_GETFD) >= 0; }

int culvert_dup_cloexec(int fd) { return fcntl(fd, F_DUPFD_CLOEXEC, 0); }

int culvert_open_read(const char *path, bool nonblocking) {
  return open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | (nonblocking ? O_NONBLOCK : 0));
}

#if defined(__linux__)

int culvert_socket(int family, int type) { return socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0); }
int culvert_accept(int fd, struct sockaddr *address, socklen_t *length) {
  return accept4(fd, address, length, SOCK_NONBLOCK | SOCK_CLOEXEC);
}
int culvert_socket_pair(int type, int fds[2]) {
  return socketpair(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds);
}
int culvert_send_flags(void) { return MSG_NOSIGNAL; }

int culvert_drain_error_queue(int fd) {
  int entries = 0;
  char control[512], payload[1];
  while (entries < 1024) {
    struct iovec vector = {payload, sizeof payload};
    struct msghdr message;
    memset(&message, 0, sizeof message);
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    if (recvmsg(fd, &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) break;
    entries++;
  }
  return entries;
}

#else

static int prepare(int fd) {
  if (fd < 0) return -1;
  int on = 1;
  if (fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 && culvert_set_nonblocking(fd, true) == 0) {
#if defined(SO_NOSIGPIPE)
    setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on);  // fails on what is not a socket: no matter
#endif
    return fd;
  }
  int error = errno;
  close(fd);
  errno = error;
  return -1;
}

int culvert_socket(int family, int type) { return prepare(socket(family, type, 0)); }
int culvert_accept(int fd, struct sockaddr *address, socklen_t *length) {
  return prepare(accept(fd, address, length));
}
int culvert_socket_pair(int type, int fds[2]) {
  if (socketpair(AF_UNIX, type, 0, fds) < 0) return -1;
  if (prepare(fds[0]) < 0) return close(fds[1]), -1;
  if (prepare(fds[1]) < 0) return close(fds[0]), -1;
  return 0;
}
int culvert_send_flags(void) { return 0; }
int culvert_drain_error_queue(int fd) { return (void)fd, 0; }

#endif

int culvert_poll_now(int fd, int wanted) {
  struct pollfd poll_fd = {.fd = fd, .events = 0, .revents = 0};
  if (wanted & 1) poll_fd.events |= POLLIN;
  if (wanted & 2) poll_fd.events |= POLLOUT;
#if defined(POLLRDHUP)
  if (wanted & 4) poll_fd.events |= POLLRDHUP;
#endif
  int count = poll(&poll_fd, 1, 0);
  if (count <= 0) return count;
  if (poll_fd.revents & POLLNVAL) return errno = EBADF, -1;
  if (poll_fd.revents & (POLLERR | POLLHUP)) return wanted;
  int ready = 0;
  if (poll_fd.revents & POLLIN) ready |= 1;
  if (poll_fd.revents & POLLOUT) ready |= 2;
#if defined(POLLRDHUP)
  if (poll_fd.revents & POLLRDHUP) ready |= 4;
#endif
  return ready & wanted;
}

int culvert_msg_peek(void) { return MSG_PEEK; }
int culvert_sock_stream(void) { return SOCK_STREAM; }
int culvert_sock_dgram(void) { return SOCK_DGRAM; }
int culvert_ipproto_tcp(void) { return IPPROTO_TCP; }
int culvert_ipproto_ip(void) { return IPPROTO_IP; }
int culvert_ipproto_ipv6(void) { return IPPROTO_IPV6; }
