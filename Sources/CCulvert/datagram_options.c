// SPDX-License-Identifier: Apache-2.0
// What is set on a datagram socket, or asked of it, and differs between platforms.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#ifdef __APPLE__
#define __APPLE_USE_RFC_3542 1
#endif
#include "culvert.h"

#include <ifaddrs.h>

static int set(int fd, int level, int name, int value) { return setsockopt(fd, level, name, &value, sizeof value); }

int culvert_report_arrival(int fd, int family, bool on) {
#ifdef IP_RECVPKTINFO
  int packet_info = IP_RECVPKTINFO;
#else
  int packet_info = IP_PKTINFO;
#endif
  // An IPv6 socket may receive IPv4 too; one that can't refuses these, and need not have them.
  int result = set(fd, IPPROTO_IP, packet_info, on);
#ifdef IP_RECVTOS
  if (result == 0) result = set(fd, IPPROTO_IP, IP_RECVTOS, on);
#endif
  if (family != AF_INET6) return result;
  result = set(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, on);
  return result == 0 ? set(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, on) : result;
}

int culvert_join_segments(int fd, bool on) {
#if defined(__linux__)
  return set(fd, IPPROTO_UDP, 104 /* UDP_GRO */, on);
#else
  return (void)fd, (void)on, errno = ENOTSUP, -1;
#endif
}

int64_t culvert_drops(int fd) {
#if defined(SO_MEMINFO)
  uint32_t values[16] = {0};
  socklen_t length = sizeof values;
  if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, values, &length) != 0) return -1;
  if (length >= 9 * sizeof *values) return values[8];  // SK_MEMINFO_DROPS
  return errno = ENOTSUP, -1;
#else
  return (void)fd, errno = ENOTSUP, -1;
#endif
}

int culvert_disconnect(int fd) {
  struct sockaddr nobody;
  memset(&nobody, 0, sizeof nobody);
  nobody.sa_family = AF_UNSPEC;
  int result = connect(fd, &nobody, sizeof nobody);
#if defined(__APPLE__)
  if (result < 0 && (errno == EAFNOSUPPORT || errno == EINVAL)) return 0;  // it has done it all the same
#endif
  return result;
}

int culvert_has_error(int fd) {
  struct pollfd poll_fd = {.fd = fd, .events = 0, .revents = 0};
  int count = poll(&poll_fd, 1, 0);
  return count < 0 ? count : (poll_fd.revents & POLLERR) != 0;
}

int culvert_membership(int fd, bool join, const struct sockaddr *group, socklen_t group_length,
                       const struct sockaddr *source, socklen_t source_length, unsigned interface) {
  int level = group->sa_family == AF_INET6 ? IPPROTO_IPV6 : IPPROTO_IP;
  if (source == NULL) {
    struct group_req request;
    memset(&request, 0, sizeof request);
    request.gr_interface = interface;
    memcpy(&request.gr_group, group, group_length);
    return setsockopt(fd, level, join ? MCAST_JOIN_GROUP : MCAST_LEAVE_GROUP, &request, sizeof request);
  }
  struct group_source_req request;
  memset(&request, 0, sizeof request);
  request.gsr_interface = interface;
  memcpy(&request.gsr_group, group, group_length);
  memcpy(&request.gsr_source, source, source_length);
  int name = join ? MCAST_JOIN_SOURCE_GROUP : MCAST_LEAVE_SOURCE_GROUP;
  return setsockopt(fd, level, name, &request, sizeof request);
}

int culvert_multicast_interface(int fd, int family, unsigned interface) {
  if (family == AF_INET6) return set(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, (int)interface);
  struct ip_mreqn request;
  memset(&request, 0, sizeof request);
  request.imr_ifindex = (int)interface;
  return setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &request, sizeof request);
}

static bool is_same(const struct sockaddr *a, const struct sockaddr *b) {
  if (a == NULL || a->sa_family != b->sa_family) return false;
  if (a->sa_family == AF_INET)
    return ((const struct sockaddr_in *)a)->sin_addr.s_addr == ((const struct sockaddr_in *)b)->sin_addr.s_addr;
  return a->sa_family == AF_INET6 && IN6_ARE_ADDR_EQUAL(&((const struct sockaddr_in6 *)a)->sin6_addr,
                                                        &((const struct sockaddr_in6 *)b)->sin6_addr);
}

unsigned culvert_interface_with(const struct sockaddr *address) {
  struct ifaddrs *all;
  unsigned index = 0;
  if (getifaddrs(&all) != 0) return 0;
  for (struct ifaddrs *one = all; one != NULL && index == 0; one = one->ifa_next)
    if (is_same(one->ifa_addr, address)) index = if_nametoindex(one->ifa_name);
  freeifaddrs(all);
  return index;
}

#if defined(IP_RECVERR)
int culvert_ip_recverr(void) { return IP_RECVERR; }
int culvert_ipv6_recverr(void) { return IPV6_RECVERR; }
#else
int culvert_ip_recverr(void) { return -1; }
int culvert_ipv6_recverr(void) { return -1; }
#endif
