// SPDX-License-Identifier: Apache-2.0
// The UDP echo of a program that has more than one socket: epoll says when, and it goes on until nothing is left.
//   udp_epoll_echo      prints "listening on 127.0.0.1:P"; any signal ends it

#define _GNU_SOURCE
#include "common.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>

int main(void) {
  static char buffer[65535];
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  struct epoll_event event = {.events = EPOLLIN};
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0) fail("bind");
  if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) fail("epoll_ctl");
  announce(fd);
  for (;;) {
    struct sockaddr_storage from;
    socklen_t length = sizeof from;
    ssize_t count = recvfrom(fd, buffer, sizeof buffer, 0, (struct sockaddr *)&from, &length);
    if (count >= 0) sendto(fd, buffer, (size_t)count, MSG_NOSIGNAL, (struct sockaddr *)&from, length);
    else epoll_wait(epoll_fd, &event, 1, -1);
  }
}
