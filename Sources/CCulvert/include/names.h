// SPDX-License-Identifier: Apache-2.0
// Host names: getaddrinfo(3), whose kinds of failure differ between platforms.
#ifndef CULVERT_NAMES_H
#define CULVERT_NAMES_H

#include <netdb.h>
#include <stdint.h>

enum { culvert_found = 0, culvert_host_not_found = 1, culvert_lookup_failed = 2 };

/// What a lookup found: a list that `culvert_lookup_free` frees, or the system's words for why it failed.
struct culvert_lookup {
  struct addrinfo *first;
  const char *why;
};

/// getaddrinfo(3) for stream sockets, IPv4 and IPv6, in the order of RFC 6724. It blocks, for as long as the name servers
/// take. Returns one of the above, or -1 with errno.
int culvert_find_addresses(const char *host, uint16_t port, struct culvert_lookup *found);
void culvert_lookup_free(struct culvert_lookup *found);

#endif
