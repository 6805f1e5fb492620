// SPDX-License-Identifier: Apache-2.0
#include "tcp_info.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

#if defined(__linux__)
#include <linux/tcp.h>
#include <netinet/in.h>

// The structure grows with each kernel, at its end: what is beyond the length that came back is not known.
#define TOLD(field) (length >= offsetof(struct tcp_info, field) + sizeof raw.field)
#define IF_TOLD(field) (TOLD(field) ? (int64_t)raw.field : -1)

int culvert_get_tcp_info(int fd, struct culvert_tcp_info *info) {
  struct tcp_info raw;
  memset(&raw, 0, sizeof raw);
  socklen_t length = sizeof raw;
  if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &raw, &length) != 0) return -1;
  info->state = raw.tcpi_state;
  info->rtt = raw.tcpi_rtt;
  info->rtt_variance = raw.tcpi_rttvar;
  info->congestion_window = raw.tcpi_snd_cwnd;
  info->send_mss = raw.tcpi_snd_mss;
  info->receive_mss = raw.tcpi_rcv_mss;
  info->unacknowledged = raw.tcpi_unacked;
  info->lost = raw.tcpi_lost;
  info->retransmits = raw.tcpi_total_retrans;
  info->minimum_rtt = IF_TOLD(tcpi_min_rtt);
  info->bytes_sent = IF_TOLD(tcpi_bytes_sent);
  info->bytes_acknowledged = IF_TOLD(tcpi_bytes_acked);
  info->bytes_received = IF_TOLD(tcpi_bytes_received);
  return 0;
}
#else
int culvert_get_tcp_info(int fd, struct culvert_tcp_info *info) { return (void)fd, (void)info, errno = ENOTSUP, -1; }
#endif
