// SPDX-License-Identifier: Apache-2.0
// What a server chooses while a client's hello is read: its certificate by host name, and the protocol.

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "connection.h"

struct culvert_tls_choice *culvert_tls_choice_new(size_t host_count, size_t protocol_bytes) {
  struct culvert_tls_choice *choice = calloc(1, sizeof *choice);
  if (!choice) return NULL;
  choice->hosts = calloc(host_count + 1, sizeof *choice->hosts);
  choice->contexts = calloc(host_count + 1, sizeof *choice->contexts);
  choice->protocols = calloc(protocol_bytes + 1, 1);
  choice->host_count = host_count;
  if (choice->hosts && choice->contexts && choice->protocols) return choice;
  culvert_tls_choice_free(choice);
  return NULL;
}

void culvert_tls_choice_free(struct culvert_tls_choice *choice) {
  if (!choice) return;
  for (size_t i = 0; i < choice->host_count; i++) {
    if (choice->hosts) free(choice->hosts[i]);
    if (choice->contexts) SSL_CTX_free(choice->contexts[i]);
  }
  free(choice->hosts);
  free(choice->contexts);
  free(choice->protocols);
  free(choice);
}

/// "*.example.org" means one more label, and no less.
static bool is_for(const char *pattern, const char *name) {
  if (strncmp(pattern, "*.", 2) != 0) return strcasecmp(pattern, name) == 0;
  const char *rest = strchr(name, '.');
  return rest && rest != name && strcasecmp(pattern + 1, rest) == 0;
}

static int choose_certificate(SSL *ssl, int *alert, void *argument) {
  struct culvert_tls_choice *choice = argument;
  const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  // A whole name before a pattern, wherever it is in the list.
  for (int are_patterns = 0; name && are_patterns < 2; are_patterns++) {
    for (size_t i = 0; i < choice->host_count; i++) {
      if ((choice->hosts[i][0] == '*') != are_patterns || !is_for(choice->hosts[i], name)) continue;
      return SSL_set_SSL_CTX(ssl, choice->contexts[i]) ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
    }
  }
  if (choice->has_default) return SSL_TLSEXT_ERR_NOACK;
  *alert = SSL_AD_UNRECOGNIZED_NAME;
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static int choose_protocol(
    SSL *ssl, const unsigned char **chosen, unsigned char *length, const unsigned char *offered, unsigned count,
    void *argument) {
  struct culvert_tls_choice *choice = argument;
  (void)ssl;
  unsigned char *found;
  int result = SSL_select_next_proto(
      &found, length, choice->protocols, choice->protocol_count, offered, count);
  if (result != OPENSSL_NPN_NEGOTIATED) return SSL_TLSEXT_ERR_ALERT_FATAL;
  *chosen = found;
  return SSL_TLSEXT_ERR_OK;
}

void culvert_tls_set_choice(SSL_CTX *context, struct culvert_tls_choice *choice) {
  if (choice->host_count > 0) {
    SSL_CTX_set_tlsext_servername_callback(context, choose_certificate);
    SSL_CTX_set_tlsext_servername_arg(context, choice);
  }
  if (choice->protocol_count > 0) SSL_CTX_set_alpn_select_cb(context, choose_protocol, choice);
}

int culvert_tls_give_password(char *to, int room, int is_writing, void *argument) {
  struct culvert_tls_password *password = argument;
  (void)is_writing;
  password->was_asked = true;
  if (!password->bytes || password->count > room) return -1;
  memcpy(to, password->bytes, (size_t)password->count);
  return password->count;
}
