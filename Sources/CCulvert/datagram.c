// SPDX-License-Identifier: Apache-2.0
// Receiving and sending datagrams, one and many.
//
// - MSG_TRUNC as a flag has Linux return the size that was sent, for recvmmsg too; elsewhere only the fact is told.
// - UDP_SEGMENT takes 64 segments and 65,507 bytes at most, and no segment that would have to be fragmented.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#ifdef __APPLE__
#define __APPLE_USE_RFC_3542 1
#endif
#include "culvert.h"

#if defined(__linux__)
#define MSG_SIZE MSG_TRUNC
#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#define UDP_GRO 104
#endif
#else
#define MSG_SIZE 0
#endif

enum { CONTROL = 128 };  // two packet infos, two traffic classes, one segment size

// --- one ---------------------------------------------------------------------------------------------------

static void note_destination(struct culvert_arrival *arrival, const struct cmsghdr *c) {
  if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
    struct in_pktinfo info;
    memcpy(&info, CMSG_DATA(c), sizeof info);
    struct sockaddr_in *to = (struct sockaddr_in *)&arrival->destination;
    memset(to, 0, sizeof *to);
    to->sin_family = AF_INET;
    to->sin_addr = info.ipi_addr;
    arrival->destination_length = sizeof *to;
    arrival->interface = (int)info.ipi_ifindex;
  } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
    struct in6_pktinfo info;
    memcpy(&info, CMSG_DATA(c), sizeof info);
    struct sockaddr_in6 *to = (struct sockaddr_in6 *)&arrival->destination;
    memset(to, 0, sizeof *to);
    to->sin6_family = AF_INET6;
    to->sin6_addr = info.ipi6_addr;
    if (IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr)) to->sin6_scope_id = info.ipi6_ifindex;
    arrival->destination_length = sizeof *to;
    arrival->interface = (int)info.ipi6_ifindex;
  }
}

static int number_in(const struct cmsghdr *c) {
  int value = 0;
  if (c->cmsg_len >= CMSG_LEN(sizeof value)) memcpy(&value, CMSG_DATA(c), sizeof value);
  else value = *CMSG_DATA(c);
  return value;
}

// `returned` is the call's result, which counts bytes that did not fit when MSG_SIZE is set.
static inline void note_size(struct culvert_arrival *arrival, size_t room, size_t returned) {
  arrival->destination_length = 0;
  arrival->size = returned;
  arrival->count = returned < room ? returned : room;
  arrival->is_truncated = returned > room;
  arrival->interface = arrival->segment = 0;
  arrival->traffic_class = -1;
}

static void note_arrival(struct culvert_arrival *arrival, struct msghdr *message, size_t room, size_t returned) {
  arrival->sender_length = message->msg_namelen;
  note_size(arrival, room, returned);
  if (message->msg_flags & MSG_TRUNC) arrival->is_truncated = true;
  if (message->msg_controllen == 0) return;
  for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c)) {
    note_destination(arrival, c);
#ifdef IP_RECVTOS
    if (c->cmsg_level == IPPROTO_IP && (c->cmsg_type == IP_TOS || c->cmsg_type == IP_RECVTOS))
      arrival->traffic_class = number_in(c);
#endif
    if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_TCLASS) arrival->traffic_class = number_in(c);
#ifdef UDP_GRO
    if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) arrival->segment = number_in(c);
#endif
  }
  // A single datagram is told with its own size.
  if (arrival->segment > 0 && (size_t)arrival->segment >= arrival->size) arrival->segment = 0;
}

int culvert_receive_datagram(
    int fd, void *bytes, size_t room, int flags, bool control, struct culvert_arrival *arrival) {
#if defined(__linux__)
  if (!control) {
    arrival->sender_length = sizeof arrival->sender;
    ssize_t count = recvfrom(
        fd, bytes, room, flags | MSG_SIZE, (struct sockaddr *)&arrival->sender, &arrival->sender_length);
    if (count < 0) return -1;
    note_size(arrival, room, (size_t)count);
    return 0;
  }
#endif
  struct iovec vector = {bytes, room};
  char controls[CONTROL] __attribute__((aligned(8)));
  struct msghdr message;
  memset(&message, 0, sizeof message);
  message.msg_name = &arrival->sender;
  message.msg_namelen = sizeof arrival->sender;
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  message.msg_control = control ? controls : NULL;
  message.msg_controllen = control ? CONTROL : 0;
  ssize_t count = recvmsg(fd, &message, flags | MSG_SIZE);
  if (count < 0) return -1;
  note_arrival(arrival, &message, room, (size_t)count);
  return 0;
}

// Fills in a control message that has `message` go out in segments; none for 0.
static void set_segment(struct msghdr *message, char *controls, size_t segment) {
  message->msg_control = NULL;
  message->msg_controllen = 0;
#ifdef UDP_SEGMENT
  if (segment == 0) return;
  uint16_t size = (uint16_t)segment;
  message->msg_control = controls;
  message->msg_controllen = CMSG_SPACE(sizeof size);
  struct cmsghdr *c = CMSG_FIRSTHDR(message);
  c->cmsg_level = IPPROTO_UDP;
  c->cmsg_type = UDP_SEGMENT;
  c->cmsg_len = CMSG_LEN(sizeof size);
  memcpy(CMSG_DATA(c), &size, sizeof size);
#else
  (void)controls, (void)segment;
#endif
}

ssize_t culvert_send_segments(
    int fd, const void *bytes, size_t count, size_t segment, const struct sockaddr *to, socklen_t to_length) {
#ifdef UDP_SEGMENT
  struct iovec vector = {(void *)bytes, count};
  char controls[CONTROL] __attribute__((aligned(8)));
  struct msghdr message;
  memset(&message, 0, sizeof message);
  message.msg_name = to_length > 0 ? (void *)to : NULL;
  message.msg_namelen = to_length;
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  set_segment(&message, controls, segment < count ? segment : 0);
  return sendmsg(fd, &message, culvert_send_flags());
#else
  (void)fd, (void)bytes, (void)count, (void)segment, (void)to, (void)to_length;
  return errno = ENOTSUP, -1;
#endif
}

// --- many --------------------------------------------------------------------------------------------------

#if !defined(__linux__)
struct mmsghdr { struct msghdr msg_hdr; unsigned msg_len; };

static int recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags, void *timeout) {
  (void)timeout;
  for (unsigned i = 0; i < count; i++) {
    ssize_t size = recvmsg(fd, &messages[i].msg_hdr, flags);
    if (size < 0) return i > 0 ? (int)i : -1;
    messages[i].msg_len = (unsigned)size;
  }
  return (int)count;
}

static int sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags) {
  for (unsigned i = 0; i < count; i++)
    if (sendmsg(fd, &messages[i].msg_hdr, flags) < 0) return i > 0 ? (int)i : -1;
  return (int)count;
}
#endif

struct culvert_batch {
  size_t capacity, size;
  struct mmsghdr *messages;
  struct iovec *vectors;
  struct culvert_arrival *arrivals;
  char *controls, *bytes;
};

struct culvert_batch *culvert_batch_make(size_t capacity, size_t size) {
  struct culvert_batch *b = calloc(1, sizeof *b);
  if (b == NULL) return NULL;
  b->capacity = capacity;
  b->size = size;
  b->messages = calloc(capacity, sizeof *b->messages);
  b->vectors = calloc(capacity, sizeof *b->vectors);
  b->arrivals = calloc(capacity, sizeof *b->arrivals);
  b->controls = calloc(capacity, CONTROL);
  b->bytes = calloc(capacity, size > 0 ? size : 1);
  if (!b->messages || !b->vectors || !b->arrivals || !b->controls || !b->bytes) return culvert_batch_free(b), NULL;
  for (size_t i = 0; i < capacity; i++) {
    b->vectors[i].iov_base = b->bytes + i * size;
    b->messages[i].msg_hdr.msg_iov = &b->vectors[i];
    b->messages[i].msg_hdr.msg_iovlen = 1;
  }
  return b;
}

void culvert_batch_free(struct culvert_batch *b) {
  free(b->messages);
  free(b->vectors);
  free(b->arrivals);
  free(b->controls);
  free(b->bytes);
  free(b);
}

void *culvert_batch_bytes(struct culvert_batch *b, size_t index) { return b->vectors[index].iov_base; }
size_t culvert_batch_count(struct culvert_batch *b, size_t index) { return b->arrivals[index].count; }

void culvert_batch_arrival(struct culvert_batch *b, size_t index, struct culvert_arrival *arrival) {
  *arrival = b->arrivals[index];
}

void culvert_batch_set(struct culvert_batch *b, size_t index, size_t count, const struct sockaddr *to,
                       socklen_t to_length, size_t segment) {
  struct culvert_arrival *arrival = &b->arrivals[index];
  memset(arrival, 0, sizeof *arrival);
  arrival->traffic_class = -1;
  arrival->count = arrival->size = count;
  arrival->segment = (int)segment;
  arrival->sender_length = to_length;
  if (to_length > 0) memcpy(&arrival->sender, to, to_length);
}

int culvert_batch_receive(int fd, struct culvert_batch *b, bool control) {
  for (size_t i = 0; i < b->capacity; i++) {
    struct msghdr *message = &b->messages[i].msg_hdr;
    message->msg_name = &b->arrivals[i].sender;
    message->msg_namelen = sizeof b->arrivals[i].sender;
    message->msg_control = control ? b->controls + i * CONTROL : NULL;
    message->msg_controllen = control ? CONTROL : 0;
    message->msg_flags = 0;
    b->vectors[i].iov_len = b->size;
  }
  int filled = recvmmsg(fd, b->messages, (unsigned)b->capacity, MSG_SIZE, NULL);
  for (int i = 0; i < filled; i++)
    note_arrival(&b->arrivals[i], &b->messages[i].msg_hdr, b->size, b->messages[i].msg_len);
  return filled;
}

int culvert_batch_send(int fd, struct culvert_batch *b, size_t first, size_t count) {
  for (size_t i = first; i < first + count; i++) {
    struct culvert_arrival *arrival = &b->arrivals[i];
    struct msghdr *message = &b->messages[i].msg_hdr;
    message->msg_name = arrival->sender_length > 0 ? &arrival->sender : NULL;
    message->msg_namelen = arrival->sender_length;
    b->vectors[i].iov_len = arrival->count;
    set_segment(message, b->controls + i * CONTROL, (size_t)arrival->segment);
  }
  return sendmmsg(fd, b->messages + first, (unsigned)count, culvert_send_flags());
}
