/* SPDX-License-Identifier: BSD-2-Clause */
/* tls_x25519 - public keys of X25519 (RFC 7748) from a table. */
#ifndef NET_TLS_X25519_H
#define NET_TLS_X25519_H

#include <stdbool.h>

enum { TLS_X25519_BYTES = 32 };

/* Before any other; false if this machine cannot. */
bool tls_x25519_init(void);

/*
 * The public key of a private one, whatever its clamped bits are: what X25519()
 * of it and 9 is.  Takes the same time for all.
 */
void tls_x25519_public(unsigned char out[TLS_X25519_BYTES],
    const unsigned char key[TLS_X25519_BYTES]);

#endif
