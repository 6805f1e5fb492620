// SPDX-License-Identifier: Apache-2.0
// One connection's record, and the callbacks that note something in it.

#include "connection.h"

#include <stdlib.h>

struct culvert_tls *culvert_tls_new(SSL_CTX *context) {
  struct culvert_tls *tls = calloc(1, sizeof *tls);
  if (!tls) return NULL;
  tls->ssl = SSL_new(context);
  BIO *bio = tls->ssl ? culvert_tls_wire_bio(&tls->wire) : NULL;
  if (!bio) {
    culvert_tls_free(tls);
    return NULL;
  }
  SSL_set_bio(tls->ssl, bio, bio);
  SSL_set_app_data(tls->ssl, tls);
  return tls;
}

void culvert_tls_free(struct culvert_tls *tls) {
  SSL_free(tls->ssl);
  SSL_SESSION_free(tls->session);
  culvert_tls_release(&tls->wire.incoming);
  culvert_tls_release(&tls->wire.outgoing);
  culvert_tls_release(&tls->sending);
  free(tls->rejection);
  free(tls);
}

static int note_rejection(int is_fine, X509_STORE_CTX *store) {
  if (is_fine) return 1;
  SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
  struct culvert_tls *tls = ssl ? SSL_get_app_data(ssl) : NULL;
  if (tls && !tls->rejection) {
    tls->rejection = culvert_tls_rejection(store);
  }
  return 0;
}

void culvert_tls_set_verification(SSL *ssl, int mode) {
  SSL_set_verify(ssl, mode, mode == SSL_VERIFY_NONE ? NULL : note_rejection);
}

/// A session has come that can be resumed: the newest is kept.
static int keep_session(SSL *ssl, SSL_SESSION *session) {
  struct culvert_tls *tls = SSL_get_app_data(ssl);
  if (!tls || SSL_is_server(ssl)) return 0;
  SSL_SESSION_free(tls->session);
  tls->session = session;
  return 1;
}

SSL_CTX *culvert_tls_context(int minimum, int maximum) {
  SSL_CTX *context = SSL_CTX_new(TLS_method());
  if (!context) return NULL;
  if (!SSL_CTX_set_min_proto_version(context, minimum) || !SSL_CTX_set_max_proto_version(context, maximum)) {
    SSL_CTX_free(context);
    return NULL;
  }
  // An end without close_notify is told from a clean one, whatever the system's configuration says.
  SSL_CTX_clear_options(context, SSL_OP_IGNORE_UNEXPECTED_EOF);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_BOTH | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(context, keep_session);
  // A server that asks for certificates resumes nothing without one.
  static const unsigned char purpose[] = "culvert";
  SSL_CTX_set_session_id_context(context, purpose, sizeof purpose - 1);
  // Tickets go out with the first answer: a client that sends all, never reads, and closes would reset the connection
  // with them unread.
  SSL_CTX_set_num_tickets(context, 0);
  return context;
}

int culvert_tls_add_chain_certificate(SSL_CTX *context, X509 *certificate) {
  return (int)SSL_CTX_add1_chain_cert(context, certificate);
}
