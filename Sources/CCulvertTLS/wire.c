// SPDX-License-Identifier: Apache-2.0
// The BIO: OpenSSL reads ciphertext that has come, from the caller's memory where it can, and writes ciphertext to be sent.

#include <stdlib.h>
#include <string.h>

#include "connection.h"

/// What an idle connection may hold.
static const size_t kept_capacity = 2048;

void culvert_tls_release(struct culvert_tls_bytes *bytes) {
  free(bytes->memory);
  memset(bytes, 0, sizeof *bytes);
}

/// Sees to it that there is room for `count` bytes behind those that are there.
static bool make_room(struct culvert_tls_bytes *bytes, size_t count) {
  if (bytes->capacity - bytes->end >= count) return true;
  size_t held = bytes->end - bytes->start;
  if (bytes->capacity - held >= count) {
    memmove(bytes->memory, bytes->memory + bytes->start, held);
  } else {
    // A half more at least, so that many small pieces are not copied each time.
    size_t capacity = held + (count > held / 2 ? count : held / 2);
    if (capacity < kept_capacity) capacity = kept_capacity;
    unsigned char *memory = malloc(capacity);
    if (!memory) return false;
    if (held) memcpy(memory, bytes->memory + bytes->start, held);
    free(bytes->memory);
    bytes->memory = memory;
    bytes->capacity = capacity;
  }
  bytes->start = 0;
  bytes->end = held;
  return true;
}

bool culvert_tls_append(struct culvert_tls_bytes *bytes, const void *from, size_t count) {
  if (count == 0) return true;
  if (!make_room(bytes, count)) return false;
  memcpy(bytes->memory + bytes->end, from, count);
  bytes->end += count;
  return true;
}

void culvert_tls_drop(struct culvert_tls_bytes *bytes, size_t count) {
  bytes->start += count;
  if (bytes->start < bytes->end) return;
  bytes->start = bytes->end = 0;
  if (bytes->capacity > kept_capacity) culvert_tls_release(bytes);
}

bool culvert_tls_take_outgoing(struct culvert_tls *tls) {
  struct culvert_tls_bytes taken = tls->wire.outgoing;
  if (taken.start == taken.end) return false;
  tls->wire.outgoing = tls->sending;
  tls->sending = taken;
  return true;
}

void culvert_tls_reserve(struct culvert_tls *tls, size_t count) {
  // What a record has beside its plain text, in any version.
  const size_t record = SSL3_RT_MAX_PLAIN_LENGTH, overhead = 128;
  make_room(&tls->wire.outgoing, count + (count / record + 1) * overhead);
}

bool culvert_tls_keep_lent(struct culvert_tls *tls) {
  struct culvert_tls_wire *wire = &tls->wire;
  bool is_kept = culvert_tls_append(&wire->incoming, wire->lent, wire->lent_count);
  wire->lent = NULL;
  wire->lent_count = 0;
  return is_kept;
}

static int wire_read(BIO *bio, char *to, int room) {
  struct culvert_tls_wire *wire = BIO_get_data(bio);
  struct culvert_tls_bytes *incoming = &wire->incoming;
  BIO_clear_retry_flags(bio);
  if (room <= 0) return 0;
  size_t most = (size_t)room;
  if (incoming->start < incoming->end) {
    size_t count = incoming->end - incoming->start < most ? incoming->end - incoming->start : most;
    memcpy(to, incoming->memory + incoming->start, count);
    culvert_tls_drop(incoming, count);
    return (int)count;
  }
  if (wire->lent_count > 0) {
    size_t count = wire->lent_count < most ? wire->lent_count : most;
    memcpy(to, wire->lent, count);
    wire->lent += count;
    wire->lent_count -= count;
    return (int)count;
  }
  BIO_set_retry_read(bio);
  return -1;
}

static int wire_write(BIO *bio, const char *from, int count) {
  struct culvert_tls_wire *wire = BIO_get_data(bio);
  BIO_clear_retry_flags(bio);
  if (count <= 0) return 0;
  return culvert_tls_append(&wire->outgoing, from, (size_t)count) ? count : -1;
}

static long wire_control(BIO *bio, int command, long number, void *pointer) {
  (void)bio, (void)number, (void)pointer;
  return command == BIO_CTRL_FLUSH;
}

static CRYPTO_ONCE method_once = CRYPTO_ONCE_STATIC_INIT;
static BIO_METHOD *method;

static void make_method(void) {
  BIO_METHOD *made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "culvert wire");
  if (!made) return;
  BIO_meth_set_read(made, wire_read);
  BIO_meth_set_write(made, wire_write);
  BIO_meth_set_ctrl(made, wire_control);
  method = made;
}

BIO *culvert_tls_wire_bio(struct culvert_tls_wire *wire) {
  if (!CRYPTO_THREAD_run_once(&method_once, make_method) || !method) return NULL;
  BIO *bio = BIO_new(method);
  if (!bio) return NULL;
  BIO_set_data(bio, wire);
  BIO_set_init(bio, 1);
  return bio;
}
