// SPDX-License-Identifier: Apache-2.0
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include "culvert.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#if defined(__linux__)
#include <linux/errqueue.h>
#endif

_Thread_local void *culvert_thread_loop = NULL;
_Thread_local void *culvert_thread_room = NULL;
_Thread_local uintptr_t culvert_thread_home = 0;
_Thread_local struct culvert_entry culvert_thread_entry;
_Thread_local int culvert_thread_budget = 0;
_Thread_local long culvert_thread_wake = 0;
_Thread_local uint64_t culvert_thread_turn_time = 0;

// --- tasks -----------------------------------------------------------------------------------------------

#define SWIFT_CALL __attribute__((swiftcall))
#define SWIFT_CONTEXT __attribute__((swift_context))
extern void *swift_task_addCancellationHandler(
    SWIFT_CALL void (*handler)(SWIFT_CONTEXT void *), void *context) SWIFT_CALL;
extern void swift_task_removeCancellationHandler(void *record) SWIFT_CALL;

static void (*_Atomic cancel_task)(void *context);

static SWIFT_CALL void cancelled(SWIFT_CONTEXT void *context) {
  atomic_load_explicit(&cancel_task, memory_order_relaxed)(context);
}

void *culvert_add_cancellation(void (*cancel)(void *context), void *context) {
  atomic_store_explicit(&cancel_task, cancel, memory_order_relaxed);
  return swift_task_addCancellationHandler(cancelled, context);
}

void culvert_remove_cancellation(void *record) { swift_task_removeCancellationHandler(record); }

// In the task's own memory, before the record.
struct guarded_wait {
  void (*cancel)(void *place, uintptr_t task);
  void *place;
  uintptr_t task;
  void *record;
};

static SWIFT_CALL void wait_cancelled(SWIFT_CONTEXT void *context) {
  struct guarded_wait *wait = context;
  wait->cancel(wait->place, wait->task);
}

void *culvert_guard_wait(void (*cancel)(void *place, uintptr_t task), void *place, uintptr_t task) {
  struct guarded_wait *wait = swift_task_alloc(sizeof *wait);
  *wait = (struct guarded_wait){cancel, place, task, NULL};
  wait->record = swift_task_addCancellationHandler(wait_cancelled, wait);
  return wait;
}

void culvert_unguard_wait(void *guarding) {
  struct guarded_wait *wait = guarding;
  swift_task_removeCancellationHandler(wait->record);
  swift_task_dealloc(wait);
}

// --- threads ---------------------------------------------------------------------------------------------

volatile unsigned culvert_forks = 0;
static void count_fork(void) { culvert_forks++; }
void culvert_watch_forks(void) { pthread_atfork(NULL, NULL, count_fork); }

struct start {
  void (*body)(void *);
  void *context;
};

static void *run_thread(void *argument) {
  struct start start = *(struct start *)argument;
  free(argument);
  start.body(start.context);
  culvert_thread_loop = NULL;
  culvert_thread_room = NULL;
  culvert_thread_home = 0;
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

int culvert_set_cloexec(int fd) { return fcntl(fd, F_SETFD, FD_CLOEXEC); }

int culvert_prepare_socket(int fd) {
#if defined(SO_NOSIGPIPE)
  int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on);
#endif
  return culvert_set_cloexec(fd);
}

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
int culvert_pipe(int fds[2]) { return pipe2(fds, O_NONBLOCK | O_CLOEXEC); }

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
int culvert_pipe(int fds[2]) {
  if (pipe(fds) < 0) return -1;
  for (int end = 0; end < 2; end++) {
    if (culvert_set_cloexec(fds[end]) < 0 || culvert_set_nonblocking(fds[end], true) < 0) {
      return close(fds[0]), close(fds[1]), -1;
    }
  }
  return 0;
}
int culvert_drain_error_queue(int fd) { return (void)fd, 0; }

#endif

ssize_t culvert_write_silently(int fd, const void *bytes, size_t count) {
  sigset_t sigpipe, pending, before;
  sigemptyset(&sigpipe);
  sigaddset(&sigpipe, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &sigpipe, &before);
  // One that is held back already is somebody else's.
  sigpending(&pending);
  int is_ours = !sigismember(&pending, SIGPIPE);
  ssize_t written = write(fd, bytes, count);
  int error = errno;
  if (written < 0 && error == EPIPE && is_ours) {
    int number;
    sigpending(&pending);
    if (sigismember(&pending, SIGPIPE)) sigwait(&sigpipe, &number);
  }
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  errno = error;
  return written;
}

int culvert_poll_now(int fd, int wanted) {
  struct pollfd poll_fd = {.fd = fd, .events = 0, .revents = 0};
  if (wanted & 1) poll_fd.events |= POLLIN;
  if (wanted & 2) poll_fd.events |= POLLOUT;
#if defined(POLLRDHUP)
  if (wanted & 4) poll_fd.events |= POLLRDHUP;
#endif
  if (wanted & 8) poll_fd.events |= POLLPRI;
  int count = poll(&poll_fd, 1, 0);
  if (count <= 0) return count;
  if (poll_fd.revents & POLLNVAL) return errno = EBADF, -1;
  if (poll_fd.revents & POLLHUP) return wanted;
  // A queue of errors holds this up too, on a connection that lives.
  if (poll_fd.revents & POLLERR) return wanted & ~16;
  int ready = 0;
  if (poll_fd.revents & POLLIN) ready |= 1;
  if (poll_fd.revents & POLLOUT) ready |= 2;
#if defined(POLLRDHUP)
  if (poll_fd.revents & POLLRDHUP) ready |= 4;
#endif
  if (poll_fd.revents & POLLPRI) ready |= 8;
  return ready & wanted;
}

// --- Unix sockets ------------------------------------------------------------------------------------------

int culvert_file_at(const unsigned char *path, struct culvert_file *file) {
  struct stat status;
  if (lstat((const char *)path, &status) < 0) return -1;
  file->is_socket = S_ISSOCK(status.st_mode);
  file->device = (uint64_t)status.st_dev;
  file->inode = (uint64_t)status.st_ino;
  return 0;
}

int culvert_unlink(const unsigned char *path) { return unlink((const char *)path); }
int culvert_chmod(const unsigned char *path, uint32_t mode) { return chmod((const char *)path, (mode_t)mode); }

int culvert_peer_credentials(int fd, struct culvert_credentials *credentials) {
#if defined(__linux__)
  struct ucred peer;
  socklen_t length = sizeof peer;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0) return -1;
  *credentials = (struct culvert_credentials){.uid = peer.uid, .gid = peer.gid, .pid = peer.pid};
#else
  uid_t uid;
  gid_t gid;
  if (getpeereid(fd, &uid, &gid) < 0) return -1;
  *credentials = (struct culvert_credentials){.uid = uid, .gid = gid, .pid = 0};
#if defined(LOCAL_PEERPID)
  pid_t pid;
  socklen_t length = sizeof pid;
  if (getsockopt(fd, SOL_LOCAL, LOCAL_PEERPID, &pid, &length) == 0) credentials->pid = pid;
#endif
#endif
  return 0;
}

ssize_t culvert_send_descriptors(int fd, const void *bytes, size_t count, const int *fds, int fd_count) {
  union {
    struct cmsghdr aligned;
    char bytes[CMSG_SPACE(sizeof(int) * culvert_most_descriptors)];
  } control;
  struct iovec vector = {(void *)bytes, count};
  struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
  if (fd_count > culvert_most_descriptors) return errno = EINVAL, -1;
  if (fd_count > 0) {
    memset(&control, 0, sizeof control);
    message.msg_control = control.bytes;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)fd_count);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)fd_count);
    memcpy(CMSG_DATA(header), fds, sizeof(int) * (size_t)fd_count);
  }
  return sendmsg(fd, &message, culvert_send_flags());
}

#if !defined(MSG_CMSG_CLOEXEC)
#define MSG_CMSG_CLOEXEC 0
#endif
#if defined(__linux__) && !defined(SCM_PIDFD)
#define SCM_PIDFD 0x04
#endif

/// Every descriptor that came is either in `received` or closed.
static void keep_descriptors(struct cmsghdr *header, bool wanted, struct culvert_descriptors *received) {
  size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
  for (size_t index = 0; index < count; index++) {
    int fd;
    memcpy(&fd, CMSG_DATA(header) + index * sizeof fd, sizeof fd);
    if (MSG_CMSG_CLOEXEC == 0) fcntl(fd, F_SETFD, FD_CLOEXEC);
    if (wanted && received->count < culvert_most_descriptors) {
      received->fds[received->count++] = fd;
    } else {
      if (wanted) received->truncated = true;
      if (fd >= 0) close(fd);
    }
  }
}

ssize_t culvert_receive_descriptors(int fd, void *bytes, size_t count, struct culvert_descriptors *received) {
  union {
    struct cmsghdr aligned;
    // And for what options may add: credentials, a security label, a descriptor of the peer's process.
    char bytes[CMSG_SPACE(sizeof(int) * culvert_most_descriptors) + 1024];
  } control;
  struct iovec vector = {bytes, count};
  struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
  message.msg_control = control.bytes;
  message.msg_controllen = sizeof control;
  received->count = 0;
  received->truncated = false;
  ssize_t result = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
  if (result < 0) return result;
  received->truncated = (message.msg_flags & MSG_CTRUNC) != 0;
  for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header != NULL; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET) continue;
    if (header->cmsg_type == SCM_RIGHTS) keep_descriptors(header, true, received);
#if defined(__linux__)
    if (header->cmsg_type == SCM_PIDFD) keep_descriptors(header, false, received);
#endif
  }
  return result;
}

int culvert_msg_peek(void) { return MSG_PEEK; }
int culvert_sock_stream(void) { return SOCK_STREAM; }
int culvert_sock_dgram(void) { return SOCK_DGRAM; }
int culvert_ipproto_tcp(void) { return IPPROTO_TCP; }
int culvert_ipproto_ip(void) { return IPPROTO_IP; }
int culvert_ipproto_ipv6(void) { return IPPROTO_IPV6; }

// --- socket options that not every platform has; -1 is answered by ENOPROTOOPT --------------------------------

#ifdef SO_REUSEPORT
int culvert_so_reuseport(void) { return SO_REUSEPORT; }
#else
int culvert_so_reuseport(void) { return -1; }
#endif
#ifdef TCP_QUICKACK
int culvert_tcp_quickack(void) { return TCP_QUICKACK; }
#else
int culvert_tcp_quickack(void) { return -1; }
#endif
#ifdef IP_BIND_ADDRESS_NO_PORT
int culvert_ip_bind_address_no_port(void) { return IP_BIND_ADDRESS_NO_PORT; }
#else
int culvert_ip_bind_address_no_port(void) { return -1; }
#endif
#ifdef TCP_KEEPIDLE
int culvert_tcp_keepidle(void) { return TCP_KEEPIDLE; }
#else
int culvert_tcp_keepidle(void) { return TCP_KEEPALIVE; }
#endif
#ifdef TCP_USER_TIMEOUT
int culvert_tcp_user_timeout(void) { return TCP_USER_TIMEOUT; }
#else
int culvert_tcp_user_timeout(void) { return -1; }
#endif
#ifdef SO_BINDTODEVICE
int culvert_so_bindtodevice(void) { return SO_BINDTODEVICE; }
#else
int culvert_so_bindtodevice(void) { return -1; }
#endif
