// SPDX-License-Identifier: Apache-2.0
// The reference for datagrams: the plainest UDP echo server in C. One thread, recvfrom and sendto, blocking.
//   udp_echo [PORT]      prints "listening on 127.0.0.1:P"; SIGINT and SIGTERM end it

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

int main(int argc, char **argv) {
  static char buffer[65535];
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  address.sin_port = htons(argc > 1 ? (unsigned short)atoi(argv[1]) : 0);
  socklen_t length = sizeof address;
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  if (fd < 0 || bind(fd, (struct sockaddr *)&address, length) != 0) return perror("udp_echo"), 1;
  getsockname(fd, (struct sockaddr *)&address, &length);
  printf("listening on 127.0.0.1:%u\n", ntohs(address.sin_port));
  fflush(stdout);
  for (;;) {
    struct sockaddr_storage from;
    socklen_t from_length = sizeof from;
    ssize_t count = recvfrom(fd, buffer, sizeof buffer, 0, (struct sockaddr *)&from, &from_length);
    if (count >= 0) sendto(fd, buffer, (size_t)count, MSG_NOSIGNAL, (struct sockaddr *)&from, from_length);
  }
}
