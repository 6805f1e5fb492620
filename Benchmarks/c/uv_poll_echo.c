// SPDX-License-Identifier: Apache-2.0
// The same echo on libuv's uv_poll: libuv says when, the system calls are our own, as in Culvert.
//   uv_poll_echo [--host H] [--port P]      any signal ends it

#include "common.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

enum { SIZE = 65536 };

// `rest` holds what a write did not take; while there is some, we wait to write and do not read.
struct connection {
  uv_poll_t poll;
  int fd;
  size_t rest_length;
  char *rest;
};

static char buffer[SIZE];

static void on_ready(uv_poll_t *poll, int status, int events);

static void on_closed(uv_handle_t *handle) {
  struct connection *c = handle->data;
  close(c->fd);
  free(c->rest);
  free(c);
}

static void drop(struct connection *c) {
  uv_close((uv_handle_t *)&c->poll, on_closed);
}

static void write_out(struct connection *c, const char *bytes, size_t length) {
  ssize_t written = write(c->fd, bytes, length);
  if (written == (ssize_t)length) {
    if (c->rest == NULL) return;
    free(c->rest);
    c->rest = NULL;
    uv_poll_start(&c->poll, UV_READABLE, on_ready);
    return;
  }
  if (written < 0 && errno != EAGAIN && errno != EINTR) return drop(c);
  if (written < 0) written = 0;
  char *rest = malloc(length - (size_t)written);
  if (rest == NULL) return drop(c);
  c->rest_length = length - (size_t)written;
  memcpy(rest, bytes + written, c->rest_length);
  free(c->rest);
  c->rest = rest;
  uv_poll_start(&c->poll, UV_WRITABLE, on_ready);
}

static void on_ready(uv_poll_t *poll, int status, int events) {
  struct connection *c = poll->data;
  if (status < 0) return drop(c);
  if (events & UV_WRITABLE) return write_out(c, c->rest, c->rest_length);
  ssize_t count = read(c->fd, buffer, sizeof buffer);
  if (count > 0) write_out(c, buffer, (size_t)count);
  else if (count == 0 || (errno != EAGAIN && errno != EINTR)) drop(c);
}

static void on_connection(uv_poll_t *poll, int status, int events) {
  (void)status, (void)events;
  int listener;
  uv_fileno((uv_handle_t *)poll, &listener);
  for (int fd; (fd = accept_from(listener)) >= 0;) {
    struct connection *c = calloc(1, sizeof *c);
    if (c == NULL) {
      close(fd);
      continue;
    }
    c->fd = fd;
    c->poll.data = c;
    uv_poll_init(poll->loop, &c->poll, fd);
    uv_poll_start(&c->poll, UV_READABLE, on_ready);
  }
}

int main(int argc, char **argv) {
  uv_loop_t *loop = uv_default_loop();
  uv_poll_t poll;
  int listener = listen_as_told(argc, argv);
  uv_poll_init(loop, &poll, listener);
  uv_poll_start(&poll, UV_READABLE, on_connection);
  announce(listener);
  return uv_run(loop, UV_RUN_DEFAULT);
}
