// SPDX-License-Identifier: Apache-2.0
// What the kernel knows of a TCP connection. A header of its own, since <linux/tcp.h>, where all of the structure is, and
// <netinet/tcp.h> can't be included together.
#ifndef CULVERT_TCP_INFO_H
#define CULVERT_TCP_INFO_H

#include <stdint.h>

/// Times in microseconds, windows and counts in segments, sizes in bytes; -1: this kernel does not tell.
struct culvert_tcp_info {
  uint8_t state;
  uint32_t rtt, rtt_variance, congestion_window, send_mss, receive_mss, unacknowledged, lost, retransmits;
  int64_t minimum_rtt, bytes_sent, bytes_acknowledged, bytes_received;
};
/// getsockopt(2) with TCP_INFO. ENOTSUP where the platform has no such thing.
int culvert_get_tcp_info(int fd, struct culvert_tcp_info *info);

#endif
