// SPDX-License-Identifier: Apache-2.0
// The same echo on libuv's uv_tcp: libuv reads and writes, as in Node and in most programs on libuv.
//   uv_tcp_echo [--host H] [--port P]      any signal ends it

#include "common.h"

#include <stdlib.h>
#include <string.h>
#include <uv.h>

enum { SIZE = 65536, BACKLOG = 1024 };

struct rest {
  uv_write_t request;
  char bytes[];
};

static char buffer[SIZE];

static void on_closed(uv_handle_t *handle) { free(handle); }

static void drop(uv_stream_t *stream) {
  if (!uv_is_closing((uv_handle_t *)stream)) uv_close((uv_handle_t *)stream, on_closed);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf) {
  (void)handle, (void)suggested;
  *buf = uv_buf_init(buffer, sizeof buffer);
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buf);

static void on_written(uv_write_t *request, int status) {
  uv_stream_t *stream = request->handle;
  free(request->data);
  if (status < 0) drop(stream);
  else if (!uv_is_closing((uv_handle_t *)stream)) uv_read_start(stream, on_alloc, on_read);
}

// Nothing is read until what a write did not take has gone out.
static void keep_rest(uv_stream_t *stream, const char *bytes, size_t length) {
  struct rest *rest = malloc(sizeof *rest + length);
  if (rest == NULL) return drop(stream);
  memcpy(rest->bytes, bytes, length);
  rest->request.data = rest;
  uv_buf_t buf = uv_buf_init(rest->bytes, (unsigned)length);
  uv_read_stop(stream);
  if (uv_write(&rest->request, stream, &buf, 1, on_written) == 0) return;
  free(rest);
  drop(stream);
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buf) {
  if (count == 0) return;
  if (count < 0) return drop(stream);
  uv_buf_t answer = uv_buf_init(buf->base, (unsigned)count);
  int written = uv_try_write(stream, &answer, 1);
  if (written < 0 && written != UV_EAGAIN) return drop(stream);
  if (written < 0) written = 0;
  if (written < count) keep_rest(stream, buf->base + written, (size_t)(count - written));
}

static void on_connection(uv_stream_t *listener, int status) {
  uv_tcp_t *connection = status < 0 ? NULL : malloc(sizeof *connection);
  if (connection == NULL) return;
  uv_tcp_init(listener->loop, connection);
  if (uv_accept(listener, (uv_stream_t *)connection) != 0) return drop((uv_stream_t *)connection);
  uv_tcp_nodelay(connection, 1);
  uv_read_start((uv_stream_t *)connection, on_alloc, on_read);
}

int main(int argc, char **argv) {
  uv_loop_t *loop = uv_default_loop();
  uv_tcp_t listener;
  int fd = listen_as_told(argc, argv);
  uv_tcp_init(loop, &listener);
  uv_tcp_open(&listener, fd);
  if (uv_listen((uv_stream_t *)&listener, BACKLOG, on_connection) != 0) return 1;
  announce(fd);
  return uv_run(loop, UV_RUN_DEFAULT);
}
