// SPDX-License-Identifier: Apache-2.0
#include "lot.h"

#include <errno.h>
#include <stddef.h>

enum { PLACES = 64 };
/// A count of wake-ups for each place, on a cache line of its own.
static struct {
  _Alignas(64) uint32_t wakes;
} places[PLACES];

static uint32_t *place(uintptr_t key) {
  // The upper bits of a product depend on all of the lower ones.
  return &places[((uint64_t)key * 0x9e3779b97f4a7c15u) >> 58].wakes;
}

uint32_t culvert_lot_ticket(uintptr_t key) { return __atomic_load_n(place(key), __ATOMIC_SEQ_CST); }

void culvert_pause(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

#if defined(__linux__)

#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

// errno is left as it was: a caller may be about to read it.
static void futex(uint32_t *word, int operation, uint32_t value) {
  int before = errno;
  syscall(SYS_futex, word, operation, value, NULL, NULL, 0);
  errno = before;
}

void culvert_lot_wait(uintptr_t key, uint32_t ticket) { futex(place(key), FUTEX_WAIT_PRIVATE, ticket); }

void culvert_lot_wake(uintptr_t key) {
  __atomic_add_fetch(place(key), 1, __ATOMIC_SEQ_CST);
  futex(place(key), FUTEX_WAKE_PRIVATE, INT_MAX);
}

#else

#include <pthread.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

void culvert_lot_wait(uintptr_t key, uint32_t ticket) {
  pthread_mutex_lock(&mutex);
  while (culvert_lot_ticket(key) == ticket) pthread_cond_wait(&changed, &mutex);
  pthread_mutex_unlock(&mutex);
}

void culvert_lot_wake(uintptr_t key) {
  pthread_mutex_lock(&mutex);
  __atomic_add_fetch(place(key), 1, __ATOMIC_SEQ_CST);
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&mutex);
}

#endif
