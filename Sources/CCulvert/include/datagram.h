// SPDX-License-Identifier: Apache-2.0
// Datagrams: calls with control messages, batches, and multicast, which differ between platforms or are macros.
// Nothing here waits and nothing here retries.
#ifndef CULVERT_DATAGRAM_H
#define CULVERT_DATAGRAM_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/// What is known of a datagram that was received.
struct culvert_arrival {
  struct sockaddr_storage sender, destination;
  socklen_t sender_length;
  socklen_t destination_length;  // 0: not told
  size_t count;                  // bytes in the buffer
  size_t size;                   // bytes that were sent; `count` where the kernel does not tell
  bool is_truncated;
  int interface;      // 0: not told
  int traffic_class;  // -1: not told
  int segment;        // several datagrams of this size in one buffer (UDP_GRO); 0: one datagram
};

/// recvfrom(2), or recvmsg(2) when control messages are wanted. Returns 0, or -1 with errno.
int culvert_receive_datagram(
    int fd, void *bytes, size_t room, int flags, bool control, struct culvert_arrival *arrival);
/// sendmsg(2) of datagrams of `segment` bytes each (UDP_SEGMENT). ENOTSUP where the platform has no such thing.
ssize_t culvert_send_segments(
    int fd, const void *bytes, size_t count, size_t segment, const struct sockaddr *to, socklen_t to_length);

/// Has the kernel tell destination, interface and traffic class of what arrives.
int culvert_report_arrival(int fd, int family, bool on);
/// UDP_GRO. ENOTSUP where the platform has no such thing.
int culvert_join_segments(int fd, bool on);
/// Datagrams that the kernel dropped for want of room in the receive buffer; -1 and ENOTSUP where it does not tell.
int64_t culvert_drops(int fd);
/// connect(2) to nobody.
int culvert_disconnect(int fd);
/// poll(2): whether an error condition holds, 1 or 0.
int culvert_has_error(int fd);

/// Datagrams with their addresses in memory of their own, for one system call.
struct culvert_batch;
/// Null when there is no memory.
struct culvert_batch *culvert_batch_make(size_t capacity, size_t size);
void culvert_batch_free(struct culvert_batch *batch);
void *culvert_batch_bytes(struct culvert_batch *batch, size_t index);
/// Says what entry `index` is to send: `count` of its bytes, to an address or (length 0) to the peer.
void culvert_batch_set(struct culvert_batch *batch, size_t index, size_t count, const struct sockaddr *to,
                       socklen_t to_length, size_t segment);
/// What entry `index` received.
void culvert_batch_arrival(struct culvert_batch *batch, size_t index, struct culvert_arrival *arrival);
size_t culvert_batch_count(struct culvert_batch *batch, size_t index);
/// recvmmsg(2): returns how many entries were filled. What was received can be sent back as it is.
int culvert_batch_receive(int fd, struct culvert_batch *batch, bool control);
/// sendmmsg(2) of entries [first, first + count): returns how many went out.
int culvert_batch_send(int fd, struct culvert_batch *batch, size_t first, size_t count);

/// Joins or leaves a group, of one source only when `source` is not null.
int culvert_membership(int fd, bool join, const struct sockaddr *group, socklen_t group_length,
                       const struct sockaddr *source, socklen_t source_length, unsigned interface);
/// Through which interface multicast goes out; 0 leaves it to the system.
int culvert_multicast_interface(int fd, int family, unsigned interface);
/// The index of the interface that has this address, 0 for none.
unsigned culvert_interface_with(const struct sockaddr *address);

/// IP_RECVERR and IPV6_RECVERR; -1 where there is none.
int culvert_ip_recverr(void);
int culvert_ipv6_recverr(void);

#endif
