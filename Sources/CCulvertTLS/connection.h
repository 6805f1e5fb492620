// SPDX-License-Identifier: Apache-2.0
// What the C files know of each other.
#ifndef CULVERT_TLS_CONNECTION_H
#define CULVERT_TLS_CONNECTION_H

#include "culvert_tls.h"

/// A BIO whose two sides are those of the wire. Null when memory is short.
BIO *culvert_tls_wire_bio(struct culvert_tls_wire *wire);
/// Which check of which certificate failed, in words. To be freed; null when memory is short.
char *culvert_tls_rejection(X509_STORE_CTX *store);

#endif
