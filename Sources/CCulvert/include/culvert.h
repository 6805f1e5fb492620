// SPDX-License-Identifier: Apache-2.0
// What Swift can't import: thread-local variables, variadic calls, macros, and calls that differ between
// platforms. Each function says in a line what it hides. Nothing here waits and nothing here retries.
#ifndef CULVERT_CSYSTEM_H
#define CULVERT_CSYSTEM_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "datagram.h"
#include "lot.h"
#include "names.h"
#include "tcp_info.h"

// --- threads ---------------------------------------------------------------------------------------------

/// The loop that this thread runs, or null. Cleared before the thread ends, since thread ids are used again.
extern _Thread_local void *culvert_thread_loop;
static inline void *culvert_current_loop(void) { return culvert_thread_loop; }
static inline void culvert_set_current_loop(void *loop) { culvert_thread_loop = loop; }

/// The room that tasks of this thread wait in, or null.
extern _Thread_local void *culvert_thread_room;
static inline void *culvert_current_room(void) { return culvert_thread_room; }
static inline void culvert_set_current_room(void *room) { culvert_thread_room = room; }

/// The driver that this thread runs, as the sources that it watches know it, or 0.
extern _Thread_local uintptr_t culvert_thread_home;
static inline uintptr_t culvert_current_home(void) { return culvert_thread_home; }
static inline void culvert_set_current_home(uintptr_t home) { culvert_thread_home = home; }

/// Where the task of this thread will wait that enters its room next, and what for.
struct culvert_entry {
  const void *place;
  uint8_t interest;
};
extern _Thread_local struct culvert_entry culvert_thread_entry;
static inline struct culvert_entry culvert_current_entry(void) { return culvert_thread_entry; }
static inline void culvert_set_current_entry(struct culvert_entry entry) { culvert_thread_entry = entry; }

/// An address that is the calling thread's own while it lives.
static inline const void *culvert_thread_mark(void) { return &culvert_thread_loop; }

/// A mutex and a condition that threads wait at, as types of this module.
struct culvert_mutex { pthread_mutex_t native; };
struct culvert_condition { pthread_cond_t native; };
static inline void culvert_mutex_init(struct culvert_mutex *m) { pthread_mutex_init(&m->native, NULL); }
static inline void culvert_mutex_destroy(struct culvert_mutex *m) { pthread_mutex_destroy(&m->native); }
static inline void culvert_mutex_lock(struct culvert_mutex *m) { pthread_mutex_lock(&m->native); }
static inline void culvert_mutex_unlock(struct culvert_mutex *m) { pthread_mutex_unlock(&m->native); }
static inline void culvert_condition_init(struct culvert_condition *c) { pthread_cond_init(&c->native, NULL); }
static inline void culvert_condition_destroy(struct culvert_condition *c) { pthread_cond_destroy(&c->native); }
static inline void culvert_condition_broadcast(struct culvert_condition *c) { pthread_cond_broadcast(&c->native); }
static inline void culvert_condition_wait(struct culvert_condition *c, struct culvert_mutex *m) {
  pthread_cond_wait(&c->native, &m->native);
}

/// How often the process was forked off since `culvert_watch_forks`: 0 but in a child. No thread but the one that
/// forked lives there, and the loops' epoll descriptors are shared with the parent.
extern volatile unsigned culvert_forks;
static inline unsigned culvert_fork_count(void) { return culvert_forks; }
void culvert_watch_forks(void);

/// Calls in a row that the job on this thread may still make without waiting. 0 on a thread that is no worker's.
extern _Thread_local int culvert_thread_budget;
static inline void culvert_set_budget(int calls) { culvert_thread_budget = calls; }
enum culvert_budget { culvert_budget_left, culvert_budget_spent, culvert_budget_none };
/// Takes one call off the budget.
static inline enum culvert_budget culvert_spend_budget(void) {
  if (culvert_thread_budget == 0) return culvert_budget_none;
  return --culvert_thread_budget == 0 ? culvert_budget_spent : culvert_budget_left;
}

/// Why the task that runs on this thread was woken, for a task that asks first thing. 0 on a thread that is no worker's.
extern _Thread_local long culvert_thread_wake;
static inline long culvert_wake(void) { return culvert_thread_wake; }
static inline void culvert_set_wake(long reason) { culvert_thread_wake = reason; }

/// When the turn of the worker on this thread began; 0 on a thread that is no worker's.
extern _Thread_local uint64_t culvert_thread_turn_time;
static inline uint64_t culvert_turn_time(void) { return culvert_thread_turn_time; }
static inline void culvert_set_turn_time(uint64_t time) { culvert_thread_turn_time = time; }

/// The current task's address, or null. Exported by the Swift runtime and inlined into clients by its own
/// standard library; right in child tasks, in `Task.immediate` and on any thread.
extern void *swift_task_getCurrent(void) __attribute__((swiftcall));
static inline void *culvert_current_task(void) { return swift_task_getCurrent(); }

/// Memory of the current task, for as long as it is suspended too; what was taken last must be given back first.
extern void *swift_task_alloc(size_t size) __attribute__((swiftcall));
extern void swift_task_dealloc(void *memory) __attribute__((swiftcall));
static inline void *culvert_task_alloc(size_t size) { return swift_task_alloc(size); }
static inline void culvert_task_dealloc(void *memory) { swift_task_dealloc(memory); }

/// What `withTaskCancellationHandler` is made of: has `cancel(context)` called once if the current task is cancelled, be it now, until
/// the task takes the record back, which must be the last memory that it took. One `cancel` for the whole process.
void *culvert_add_cancellation(void (*cancel)(void *context), void *context);
void culvert_remove_cancellation(void *record);

/// The same for one wait of `task`, the current one, at `place`: any `cancel`, which is told both. What is returned is given
/// back as a record is.
void *culvert_guard_wait(void (*cancel)(void *place, uintptr_t task), void *place, uintptr_t task);
void culvert_unguard_wait(void *guarding);

/// How a thread is made. Zero or negative where the system's default is meant.
struct culvert_thread_options {
  size_t stack_size;
  int policy;         // SCHED_OTHER, SCHED_FIFO, SCHED_RR, or -1
  int priority;       // of that policy
  uint64_t affinity;  // bit n allows processor n, for the first 64; 0 means all
};
/// Starts a detached thread; returns 0 or an error number. ENOTSUP for an option this platform lacks.
int culvert_thread_start(struct culvert_thread_options options, void (*body)(void *), void *context);
/// Names the calling thread, cut to what the platform allows.
void culvert_thread_set_name(const char *name);

// --- errors ----------------------------------------------------------------------------------------------

/// The file type bits of st_mode, or -1.
static inline int culvert_file_type(int fd) {
  struct stat status;
  return fstat(fd, &status) == 0 ? (int)(status.st_mode & S_IFMT) : -1;
}

static inline int culvert_errno(void) { return errno; }
/// The system's text for an error number.
const char *culvert_error_text(int number);

// --- sockets: calls and constants that differ between platforms --------------------------------------------

/// socket(2), non-blocking and close-on-exec, silent on SIGPIPE where that is a socket option.
int culvert_socket(int family, int type);
/// accept4(2) or its equal: non-blocking and close-on-exec.
int culvert_accept(int fd, struct sockaddr *address, socklen_t *length);
/// socketpair(2): two connected Unix sockets, made as culvert_socket makes them.
int culvert_socket_pair(int type, int fds[2]);
/// send(2) flags that keep SIGPIPE away.
static inline int culvert_send_flags(void) {
#if defined(__linux__)
  return MSG_NOSIGNAL;
#else
  return 0;
#endif
}
/// pipe2(2) or its equal: the reader's end, then the writer's, non-blocking and close-on-exec.
int culvert_pipe(int fds[2]);
/// write(2) without SIGPIPE, which nothing keeps away from a pipe: it is held back for the call, and taken if it came.
ssize_t culvert_write_silently(int fd, const void *bytes, size_t count);
/// fcntl(2) is variadic.
int culvert_set_nonblocking(int fd, bool on);
bool culvert_is_nonblocking(int fd);
int culvert_set_cloexec(int fd);
/// Close-on-exec, and silent on SIGPIPE where that is a socket option.
int culvert_prepare_socket(int fd);
/// Opens /dev/null as standard input, output and error where those are closed, or the next descriptor that anybody
/// opens would be taken for them. libuv stops the process if it has to close one of those numbers.
void culvert_fill_standard_descriptors(void);
/// Whether the number is an open descriptor.
bool culvert_is_open(int fd);
int culvert_dup_cloexec(int fd);
/// open(2) is variadic. Read only, close-on-exec, and non-blocking when asked.
int culvert_open_read(const char *path, bool nonblocking);

int culvert_sock_stream(void);
int culvert_sock_dgram(void);
int culvert_ipproto_tcp(void);
int culvert_ipproto_ip(void);
int culvert_ipproto_ipv6(void);

int culvert_msg_peek(void);

/// Socket options that not every platform has: -1 there, which the kernel refuses.
int culvert_so_reuseport(void);
int culvert_tcp_quickack(void);
int culvert_ip_bind_address_no_port(void);
int culvert_tcp_keepidle(void);
int culvert_tcp_user_timeout(void);
int culvert_so_bindtodevice(void);

/// Which of `wanted` hold now: 1 readable, 2 writable, 4 peer finished, 8 priority data, 16 hung up. A hang-up or an
/// error condition is all of them, but an error alone is no hang-up. -1: errno.
int culvert_poll_now(int fd, int wanted);

/// Reads and drops what a socket's error queue holds; returns how many entries. 0 where there is none.
int culvert_drain_error_queue(int fd);

// --- Unix sockets ------------------------------------------------------------------------------------------

/// What is at a path, symbolic links not followed.
struct culvert_file {
  bool is_socket;
  uint64_t device, inode;
};
/// lstat(2), whose structure differs. The paths of these three end with a NUL.
int culvert_file_at(const unsigned char *path, struct culvert_file *file);
int culvert_unlink(const unsigned char *path);
int culvert_chmod(const unsigned char *path, uint32_t mode);

/// Who is at the other end; the process is 0 where that is not known.
struct culvert_credentials {
  uint32_t uid, gid;
  int32_t pid;
};
/// SO_PEERCRED, or getpeereid(3) and LOCAL_PEERPID.
int culvert_peer_credentials(int fd, struct culvert_credentials *credentials);

/// The most descriptors that one message may carry: Linux's SCM_MAX_FD.
enum { culvert_most_descriptors = 253 };
/// sendmsg(2) with SCM_RIGHTS: the descriptors go out with the first of the bytes.
ssize_t culvert_send_descriptors(int fd, const void *bytes, size_t count, const int *fds, int fd_count);
/// What came with some bytes: close-on-exec descriptors, now the caller's; not all that were sent if `truncated`.
struct culvert_descriptors {
  int count;
  bool truncated;
  int fds[culvert_most_descriptors];
};
/// recvmsg(2) with room for as many descriptors as a message may carry.
ssize_t culvert_receive_descriptors(int fd, void *bytes, size_t count, struct culvert_descriptors *received);

/// Monotonic time in nanoseconds, a few milliseconds old: a quarter of the other's cost, for reports.
static inline uint64_t culvert_coarse_now(void) {
  struct timespec t;
#if defined(CLOCK_MONOTONIC_COARSE)
  clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
#else
  clock_gettime(CLOCK_MONOTONIC, &t);
#endif
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/// Monotonic time in nanoseconds.
static inline uint64_t culvert_monotonic_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

#endif
