// SPDX-License-Identifier: Apache-2.0
// Certificates in words. What a stranger wrote in one is cut to a length, and has no control characters.

#include <stdlib.h>
#include <string.h>

#include "connection.h"

/// The most of a name that is told.
enum { most_of_name = 200 };

static void put_escaped(BIO *to, const unsigned char *bytes, int count) {
  for (int i = 0; i < count && i < most_of_name; i++) {
    if (bytes[i] < 0x20 || bytes[i] > 0x7E) BIO_printf(to, "\\%02X", bytes[i]);
    else BIO_write(to, &bytes[i], 1);
  }
}

static void put_name(BIO *to, X509_NAME *name) {
  BIO *whole = BIO_new(BIO_s_mem());
  if (!whole) return;
  const unsigned long flags = XN_FLAG_RFC2253 & ~XN_FLAG_DN_REV;
  int count = X509_NAME_print_ex(whole, name, 0, flags);
  char *text;
  long length = BIO_get_mem_data(whole, &text);
  if (count > 0 && length > 0) put_escaped(to, (unsigned char *)text, (int)length);
  else BIO_puts(to, "no name");
  BIO_free(whole);
}

/// The names that a certificate is for.
static void put_subject_names(BIO *to, X509 *certificate) {
  GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
  int count = names ? sk_GENERAL_NAME_num(names) : 0, told = 0;
  for (int i = 0; i < count && told < 8; i++) {
    GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
    if (name->type != GEN_DNS && name->type != GEN_IPADD) continue;
    BIO_puts(to, told++ == 0 ? "" : ", ");
    const unsigned char *bytes = ASN1_STRING_get0_data(name->d.ia5);
    int length = ASN1_STRING_length(name->d.ia5);
    if (name->type == GEN_DNS) {
      put_escaped(to, bytes, length);
    } else if (length == 4) {
      BIO_printf(to, "%d.%d.%d.%d", bytes[0], bytes[1], bytes[2], bytes[3]);
    } else {
      for (int at = 0; at + 1 < length; at += 2) {
        BIO_printf(to, "%s%x", at == 0 ? "" : ":", bytes[at] << 8 | bytes[at + 1]);
      }
    }
  }
  if (told == 0) BIO_puts(to, "no host");
  GENERAL_NAMES_free(names);
}

static void put_certificate(BIO *to, X509 *certificate) {
  put_name(to, X509_get_subject_name(certificate));
  BIO_puts(to, ", issued by ");
  put_name(to, X509_get_issuer_name(certificate));
}

/// What was written, as a string of C's; the BIO is freed.
static char *take_text(BIO *from) {
  char *bytes, *text;
  long length = BIO_get_mem_data(from, &bytes);
  text = malloc((size_t)length + 1);
  if (text) {
    memcpy(text, bytes, (size_t)length);
    text[length] = 0;
  }
  BIO_free(from);
  return text;
}

char *culvert_tls_describe(X509 *certificate) {
  BIO *text = BIO_new(BIO_s_mem());
  if (!text) return NULL;
  put_certificate(text, certificate);
  return take_text(text);
}

void culvert_tls_free_text(char *text) { free(text); }

char *culvert_tls_rejection(X509_STORE_CTX *store) {
  BIO *text = BIO_new(BIO_s_mem());
  if (!text) return NULL;
  int error = X509_STORE_CTX_get_error(store), depth = X509_STORE_CTX_get_error_depth(store);
  X509 *certificate = X509_STORE_CTX_get_current_cert(store);
  BIO_puts(text, X509_verify_cert_error_string(error));
  if (certificate) {
    if (error == X509_V_ERR_HOSTNAME_MISMATCH || error == X509_V_ERR_IP_ADDRESS_MISMATCH) {
      BIO_puts(text, ", for it is for ");
      put_subject_names(text, certificate);
    } else if (error == X509_V_ERR_CERT_HAS_EXPIRED) {
      BIO_puts(text, ", on ");
      ASN1_TIME_print(text, X509_get0_notAfter(certificate));
    } else if (error == X509_V_ERR_CERT_NOT_YET_VALID) {
      BIO_puts(text, ", but from ");
      ASN1_TIME_print(text, X509_get0_notBefore(certificate));
    }
    BIO_printf(text, " (certificate %d, ", depth);
    put_certificate(text, certificate);
    BIO_puts(text, ")");
  }
  return take_text(text);
}
