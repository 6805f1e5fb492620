// SPDX-License-Identifier: Apache-2.0
// The load generator for datagrams: keeps WINDOW of them under way to an echo server, and checks each answer.
//   udp_load HOST:PORT --window N --size BYTES       steps: see common.h; one key=value line for each
// What is lost is sent again after 100 ms, and counted.

#include "common.h"

#include <getopt.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

static char outgoing[65535], incoming[65535];
static size_t window = 16, size = 64;
static int fd;
static uint64_t sent, answered, lost, mismatches;

static void send_one(void) {
  memcpy(outgoing, &sent, sizeof sent);
  sent++;
  if (send(fd, outgoing, size, MSG_NOSIGNAL) != (ssize_t)size) perror("send"), exit(1);
}

// An answer carries the number of a datagram that was sent, and the rest as it was.
static int take_one(void) {
  ssize_t count = recv(fd, incoming, sizeof incoming, 0);
  if (count < 0) return 0;
  uint64_t number;
  memcpy(&number, incoming, sizeof number);
  if ((size_t)count != size || number >= sent || memcmp(incoming + 8, outgoing + 8, size - 8) != 0) mismatches++;
  answered++;
  return 1;
}

static void run(double seconds) {
  uint64_t start = now(), end = start + (uint64_t)(seconds * 1e9);
  size_t under_way = 0;
  answered = lost = 0;
  do {
    for (; under_way < window; under_way++) send_one();
    if (take_one()) under_way--;
    else lost += under_way, under_way = 0;
  } while (now() < end);
  for (; under_way > 0 && take_one(); under_way--) {}
  printf("requests=%lu seconds=%.3f errors=%lu mismatches=%lu\n", (unsigned long)answered,
         (double)(now() - start) / 1e9, (unsigned long)lost, (unsigned long)mismatches);
}

int main(int argc, char **argv) {
  const struct option options[] = {{"window", 1, NULL, 'w'}, {"size", 1, NULL, 's'}, {0}};
  for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
    if (option == 'w') window = (size_t)number(optarg, 1, 10000);
    else if (option == 's') size = (size_t)number(optarg, 8, 65507);
    else return 2;
  }
  struct addrinfo *address = optind == argc - 1 ? resolve(argv[optind], SOCK_DGRAM) : NULL;
  if (address == NULL) return fputs("udp_load: see its first lines\n", stderr), 2;
  struct timeval patience = {.tv_usec = 100000};
  fd = socket(address->ai_family, SOCK_DGRAM, 0);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  if (fd < 0 || connect(fd, address->ai_addr, address->ai_addrlen) != 0) fail("connect");
  for (size_t i = 0; i < size; i++) outgoing[i] = (char)(i * 31);
  run_steps(1, run);
  return 0;
}
