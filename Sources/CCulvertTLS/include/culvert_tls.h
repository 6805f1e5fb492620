// SPDX-License-Identifier: Apache-2.0
// What Swift can't import of OpenSSL: macros, callbacks, and a BIO of our own. Nothing here does I/O and nothing here waits.
#ifndef CULVERT_TLS_H
#define CULVERT_TLS_H

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stddef.h>

// --- the wire: where ciphertext comes from and goes to ------------------------------------------------------

/// Bytes in one piece of memory: more are put behind them, and they are taken from the front.
struct culvert_tls_bytes {
  unsigned char *memory;
  size_t start, end, capacity;
};

/// Both sides of a connection's BIO.
struct culvert_tls_wire {
  /// What has come and is not used up.
  struct culvert_tls_bytes incoming;
  /// The same, in memory that is the caller's while a call lasts; it comes behind `incoming`.
  const unsigned char *lent;
  size_t lent_count;
  /// What is to be sent.
  struct culvert_tls_bytes outgoing;
};

/// One connection: its SSL, its wire, and what callbacks have noted.
struct culvert_tls {
  SSL *ssl;
  struct culvert_tls_wire wire;
  /// What is being sent, for the one whose turn it is.
  struct culvert_tls_bytes sending;
  /// Which check of which certificate failed, in words; null if none did.
  char *rejection;
  /// The newest session that can be resumed; null if there is none.
  SSL_SESSION *session;
};

/// Null when memory is short.
struct culvert_tls *culvert_tls_new(SSL_CTX *context);
void culvert_tls_free(struct culvert_tls *tls);

/// Whether OpenSSL would find something to read.
static inline bool culvert_tls_has_input(const struct culvert_tls *tls) {
  return tls->wire.lent_count > 0 || tls->wire.incoming.start < tls->wire.incoming.end || SSL_has_pending(tls->ssl);
}
static inline struct culvert_tls_bytes *culvert_tls_sending(struct culvert_tls *tls) { return &tls->sending; }
/// What is to be sent is sent from now on; false when there is nothing. `sending` is empty before.
bool culvert_tls_take_outgoing(struct culvert_tls *tls);
/// Makes room to be sent, so that `count` bytes of plain text need no copies; at best.
void culvert_tls_reserve(struct culvert_tls *tls, size_t count);
/// Copies what is lent and not used up; false when memory is short.
bool culvert_tls_keep_lent(struct culvert_tls *tls);
/// Puts `count` bytes behind those that have come; false when memory is short.
bool culvert_tls_append(struct culvert_tls_bytes *bytes, const void *from, size_t count);
/// Takes bytes from the front. What is empty gives back more than a small piece of memory.
void culvert_tls_drop(struct culvert_tls_bytes *bytes, size_t count);
/// Gives the memory back.
void culvert_tls_release(struct culvert_tls_bytes *bytes);

// --- contexts --------------------------------------------------------------------------------------------

/// A context that clients and servers share; `minimum` and `maximum` are versions, 0 for what the library has.
/// Null when it could not be made: the error queue tells.
SSL_CTX *culvert_tls_context(int minimum, int maximum);
int culvert_tls_add_chain_certificate(SSL_CTX *context, X509 *certificate);

/// What a server chooses by. Lives as long as its context.
struct culvert_tls_choice {
  /// The protocols that it speaks, most wanted first, each with its length before it.
  unsigned char *protocols;
  unsigned protocol_count;
  /// Host names, lower case, "*.example.org" too, each with the context that has its certificate.
  char **hosts;
  SSL_CTX **contexts;
  size_t host_count;
  /// Whether there is a certificate for any other name.
  bool has_default;
};
struct culvert_tls_choice *culvert_tls_choice_new(size_t host_count, size_t protocol_bytes);
void culvert_tls_choice_free(struct culvert_tls_choice *choice);
void culvert_tls_set_choice(SSL_CTX *context, struct culvert_tls_choice *choice);

// --- keys ------------------------------------------------------------------------------------------------

struct culvert_tls_password {
  const char *bytes;
  int count;
  /// The key is encrypted: it was asked for.
  bool was_asked;
};
/// A `pem_password_cb` for a `struct culvert_tls_password`: it never asks at a terminal.
int culvert_tls_give_password(char *to, int room, int is_writing, void *password);

// --- macros ----------------------------------------------------------------------------------------------

/// Asks for the peer's certificate as `SSL_VERIFY_…` says, and notes why it was rejected.
void culvert_tls_set_verification(SSL *ssl, int mode);
/// Has buffers given back while there is nothing in them. In a handshake that would cost more than it saves.
static inline void culvert_tls_release_when_idle(SSL *ssl) { SSL_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS); }
static inline int culvert_tls_set_server_name(SSL *ssl, const char *name) {
  return (int)SSL_set_tlsext_host_name(ssl, name);
}
static inline bool culvert_tls_is_verification_failure(unsigned long error) {
  return ERR_GET_LIB(error) == ERR_LIB_SSL && ERR_GET_REASON(error) == SSL_R_CERTIFICATE_VERIFY_FAILED;
}
static inline int culvert_tls_library(unsigned long error) { return ERR_GET_LIB(error); }
static inline int culvert_tls_reason(unsigned long error) { return ERR_GET_REASON(error); }
/// The alert that the peer sent, if that is what the error is; else -1.
static inline int culvert_tls_alert(unsigned long error) {
  int reason = ERR_GET_REASON(error);
  return ERR_GET_LIB(error) == ERR_LIB_SSL && reason >= SSL_AD_REASON_OFFSET ? reason - SSL_AD_REASON_OFFSET : -1;
}

/// What a certificate says of itself, for a message: one line, without control characters. Null when memory is short.
char *culvert_tls_describe(X509 *certificate);
void culvert_tls_free_text(char *text);
/// What `i2d_…` has allocated.
static inline void culvert_tls_free_der(unsigned char *der) { OPENSSL_free(der); }

#endif
