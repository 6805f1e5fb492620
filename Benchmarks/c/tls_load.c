// SPDX-License-Identifier: Apache-2.0
// Load for a TLS echo server, which prints what it has done after each step.
//   tls_load HOST:PORT handshakes|bulk CONNECTIONS
// "handshakes": one after the other on each connection's thread, with one byte there and back. "bulk": 64 KiB there and
// back. Prints "connected N", then for each line on standard input, a number of seconds, what was done in that time:
// "requests=N errors=N mismatches=N".

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PIECE = 65536, MOST_CONNECTIONS = 64 };

struct worker {
  pthread_t thread;
  SSL *ssl;  // for bulk
  long requests, errors, mismatches;
};

static SSL_CTX *context;
static struct sockaddr_in address = {.sin_family = AF_INET};
static bool is_bulk;
static double deadline;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static SSL *connect_tls(void) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
  if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0) return NULL;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  SSL *ssl = SSL_new(context);
  SSL_set_fd(ssl, fd);
  if (SSL_connect(ssl) == 1) return ssl;
  SSL_free(ssl);
  close(fd);
  return NULL;
}

static void hang_up(SSL *ssl) {
  int fd = SSL_get_fd(ssl);
  SSL_shutdown(ssl);
  SSL_free(ssl);
  close(fd);
}

static bool exchange(SSL *ssl, const char *sent, char *received, int count) {
  if (SSL_write(ssl, sent, count) != count) return false;
  for (int done = 0, some; done < count; done += some) {
    if ((some = SSL_read(ssl, received + done, count - done)) <= 0) return false;
  }
  return true;
}

static void *work(void *argument) {
  struct worker *w = argument;
  char *sent = malloc(PIECE), *received = malloc(PIECE);
  for (int i = 0; i < PIECE; i++) sent[i] = (char)(i % 251);
  w->requests = w->errors = w->mismatches = 0;
  while (now() < deadline) {
    SSL *ssl = is_bulk ? w->ssl : connect_tls();
    int count = is_bulk ? PIECE : 1;
    if (!ssl || !exchange(ssl, sent, received, count)) w->errors++;
    else if (memcmp(sent, received, (size_t)count) != 0) w->mismatches++;
    else w->requests++;
    if (!is_bulk && ssl) hang_up(ssl);
    if (w->errors > 100) break;
  }
  free(sent);
  free(received);
  return NULL;
}

int main(int count, char **arguments) {
  char *colon = count == 4 ? strrchr(arguments[1], ':') : NULL;
  int connections = colon ? atoi(arguments[3]) : 0;
  if (connections < 1 || connections > MOST_CONNECTIONS) return fprintf(stderr, "usage: see tls_load.c\n"), 2;
  *colon = 0;
  address.sin_port = htons((uint16_t)atoi(colon + 1));
  inet_pton(AF_INET, arguments[1], &address.sin_addr);
  is_bulk = strcmp(arguments[2], "bulk") == 0;
  signal(SIGPIPE, SIG_IGN);
  context = SSL_CTX_new(TLS_client_method());
  static struct worker workers[MOST_CONNECTIONS];
  for (int i = 0; is_bulk && i < connections; i++) {
    if (!(workers[i].ssl = connect_tls())) return fprintf(stderr, "could not connect\n"), 1;
  }
  printf("connected %d\n", connections);
  fflush(stdout);
  char line[100];
  while (fgets(line, sizeof line, stdin)) {
    long requests = 0, errors = 0, mismatches = 0;
    deadline = now() + atof(line);
    for (int i = 0; i < connections; i++) pthread_create(&workers[i].thread, NULL, work, &workers[i]);
    for (int i = 0; i < connections; i++) {
      pthread_join(workers[i].thread, NULL);
      requests += workers[i].requests, errors += workers[i].errors, mismatches += workers[i].mismatches;
    }
    printf("requests=%ld errors=%ld mismatches=%ld\n", requests, errors, mismatches);
    fflush(stdout);
  }
  return 0;
}
