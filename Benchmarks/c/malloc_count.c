// SPDX-License-Identifier: Apache-2.0
// Counts a program's allocations when preloaded: LD_PRELOAD=malloc_count.so MALLOC_COUNT_FILE=F program.
// F must exist and hold four zeroed 64-bit numbers: malloc, calloc, realloc, aligned allocations. It is
// mapped shared, so the counts can be read at any moment and survive however the program ends.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

// glibc's own entry points: no dlsym, which would itself allocate before we are ready.
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

enum { MALLOC, CALLOC, REALLOC, ALIGNED, KINDS };

// Takes what is allocated before the constructor ran; nobody reads it, start-up is not measured.
static _Atomic uint64_t before_mapping[KINDS];
static _Atomic uint64_t *_Atomic counts = before_mapping;

static void count(int kind) {
  _Atomic uint64_t *current = atomic_load_explicit(&counts, memory_order_relaxed);
  atomic_fetch_add_explicit(&current[kind], 1, memory_order_relaxed);
}

__attribute__((constructor)) static void map_counts(void) {
  const char *path = getenv("MALLOC_COUNT_FILE");
  int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
  if (fd < 0) return;
  void *mapped = mmap(NULL, sizeof before_mapping, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (mapped != MAP_FAILED) atomic_store(&counts, mapped);
}

void *malloc(size_t size) {
  count(MALLOC);
  return __libc_malloc(size);
}

void *calloc(size_t number, size_t size) {
  count(CALLOC);
  return __libc_calloc(number, size);
}

void *realloc(void *old, size_t size) {
  count(REALLOC);
  return __libc_realloc(old, size);
}

void *memalign(size_t alignment, size_t size) {
  count(ALIGNED);
  return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
  return memalign(alignment, size);
}

int posix_memalign(void **result, size_t alignment, size_t size) {
  if (alignment % sizeof(void *) != 0 || alignment == 0 || (alignment & (alignment - 1)) != 0) return EINVAL;
  void *memory = memalign(alignment, size);
  if (memory == NULL) return ENOMEM;
  *result = memory;
  return 0;
}
