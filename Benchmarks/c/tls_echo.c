// SPDX-License-Identifier: Apache-2.0
// The reference that TLS is measured against: a plain echo server in C on OpenSSL. One thread, level-triggered epoll, and
// OpenSSL on the sockets themselves.
//   tls_echo CERTIFICATE KEY      prints "listening on 127.0.0.1:PORT"; SIGINT and SIGTERM end it

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUFFER_SIZE = 65536, EVENTS = 256 };

// `rest` holds what a write did not take; while there is some, we do not read.
struct connection {
  int fd;
  SSL *ssl;
  bool is_open, wants_write;
  int rest_length;
  char *rest;
};

static int epoll_fd;
static char buffer[BUFFER_SIZE];

static void fail(const char *what) {
  perror(what);
  ERR_print_errors_fp(stderr);
  exit(1);
}

static void watch(int operation, struct connection *c, unsigned events) {
  struct epoll_event event = {.events = events, .data.ptr = c};
  if (epoll_ctl(epoll_fd, operation, c->fd, &event) != 0) fail("epoll_ctl");
}

static void drop(struct connection *c) {
  SSL_free(c->ssl);
  close(c->fd);
  free(c->rest);
  free(c);
}

// What a call that did not succeed waits for; false when the connection is over.
static bool wait_for(struct connection *c, int result) {
  int error = SSL_get_error(c->ssl, result);
  ERR_clear_error();
  if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) return false;
  bool wants_write = error == SSL_ERROR_WANT_WRITE;
  if (wants_write != c->wants_write) watch(EPOLL_CTL_MOD, c, wants_write ? EPOLLOUT : EPOLLIN);
  c->wants_write = wants_write;
  return true;
}

// Writes all, or keeps what does not go out; false when the connection is over.
static bool send_all(struct connection *c, const char *bytes, int count) {
  int result = SSL_write(c->ssl, bytes, count);
  if (result == count) return true;
  c->rest = malloc((size_t)count);
  if (!c->rest) return false;
  memcpy(c->rest, bytes, (size_t)count);
  c->rest_length = count;
  return wait_for(c, result);
}

static bool go_on(struct connection *c) {
  if (!c->is_open) {
    int result = SSL_accept(c->ssl);
    if (result != 1) return wait_for(c, result);
    c->is_open = true;
  }
  if (c->rest) {
    int result = SSL_write(c->ssl, c->rest, c->rest_length);
    if (result <= 0) return wait_for(c, result);
    free(c->rest);
    c->rest = NULL;
  }
  while (!c->rest) {
    int count = SSL_read(c->ssl, buffer, sizeof buffer);
    if (count <= 0) {
      if (SSL_get_error(c->ssl, count) == SSL_ERROR_ZERO_RETURN) SSL_shutdown(c->ssl);
      return wait_for(c, count);
    }
    if (!send_all(c, buffer, count)) return false;
  }
  return true;
}

static void accept_all(int listener, SSL_CTX *context) {
  int fd;
  while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct connection *c = calloc(1, sizeof *c);
    if (!c || !(c->ssl = SSL_new(context))) fail("SSL_new");
    c->fd = fd;
    SSL_set_fd(c->ssl, fd);
    watch(EPOLL_CTL_ADD, c, EPOLLIN);
  }
}

int main(int count, char **arguments) {
  if (count != 3) return fprintf(stderr, "usage: tls_echo CERTIFICATE KEY\n"), 2;
  signal(SIGPIPE, SIG_IGN);
  SSL_CTX *context = SSL_CTX_new(TLS_server_method());
  if (!context || SSL_CTX_use_certificate_chain_file(context, arguments[1]) != 1 ||
      SSL_CTX_use_PrivateKey_file(context, arguments[2], SSL_FILETYPE_PEM) != 1)
    fail("set up");
  SSL_CTX_set_mode(context, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  // As many as Culvert sends.
  SSL_CTX_set_num_tickets(context, 1);
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  if (bind(listener, (struct sockaddr *)&address, size) != 0 || listen(listener, 1024) != 0) fail("listen");
  getsockname(listener, (struct sockaddr *)&address, &size);
  printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
  fflush(stdout);
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}, events[EVENTS];
  if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event) != 0) fail("epoll_ctl");
  for (;;) {
    int ready = epoll_wait(epoll_fd, events, EVENTS, -1);
    if (ready < 0 && errno != EINTR) fail("epoll_wait");
    for (int i = 0; i < ready; i++) {
      struct connection *c = events[i].data.ptr;
      if (!c) accept_all(listener, context);
      else if (!go_on(c)) drop(c);
    }
  }
}
