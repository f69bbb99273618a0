/* SPDX-License-Identifier: BSD-2-Clause */
/* tls_exchange - X25519 for handshakes: OpenSSL's, with our key pairs. */
#ifndef NET_TLS_EXCHANGE_H
#define NET_TLS_EXCHANGE_H

#include <openssl/core.h>
#include <stdbool.h>

/* Take over what OpenSSL's own provider has; false: leave it all to it. */
bool tls_exchange_init(void);

/* Of a provider, once that is done. */
extern const OSSL_ALGORITHM tls_exchange_keys[];
extern const OSSL_ALGORITHM tls_exchange_exchanges[];
/* The group for handshakes, as the capability TLS-GROUP (provider-base(7)). */
int tls_exchange_group(OSSL_CALLBACK *callback, void *arg);

#endif
