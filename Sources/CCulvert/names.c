// SPDX-License-Identifier: Apache-2.0
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include "culvert.h"

#include <stdio.h>

static int outcome(int error) {
  switch (error) {
    case 0: return culvert_found;
    case EAI_NONAME:
#ifdef EAI_NODATA
    case EAI_NODATA:  // the name is there, but has no address
#endif
#ifdef EAI_ADDRFAMILY
    case EAI_ADDRFAMILY:
#endif
      return culvert_host_not_found;
    case EAI_MEMORY: return errno = ENOMEM, -1;
    case EAI_SYSTEM: return errno == 0 ? culvert_lookup_failed : -1;
    default: return culvert_lookup_failed;
  }
}

int culvert_find_addresses(const char *host, uint16_t port, struct culvert_lookup *found) {
  // Not AI_ADDRCONFIG: it takes a machine whose only IPv6 address is ::1 for one without IPv6, and a family that the network
  // does not carry fails at once anyway.
  struct addrinfo hints;
  memset(&hints, 0, sizeof hints);
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  char service[6];
  snprintf(service, sizeof service, "%u", (unsigned)port);
  found->first = NULL;
  errno = 0;
  int error = getaddrinfo(host, service, &hints, &found->first);
  found->why = error == 0 ? NULL : gai_strerror(error);
  return outcome(error);
}

void culvert_lookup_free(struct culvert_lookup *found) {
  if (found->first != NULL) freeaddrinfo(found->first);
  found->first = NULL;
}
