/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tls_session - sessions with backends, kept for all workers and generations.
 *
 * A table in shared memory, one place a key: a new session takes the place of
 * whatever was there.  A reader copies and then looks whether it was changed
 * meanwhile; a writer that died leaves a claim that ages.  The key is a digest
 * of all that the session was made under, so that it is never resumed under
 * other terms: nobody verifies a certificate again that was not verified.
 */
#ifndef NET_TLS_SESSION_H
#define NET_TLS_SESSION_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum {
	TLS_SESSION_LAYOUT = 1, /* version of the zone */
	TLS_SESSION_PLACES = 512,
	TLS_SESSION_KEY = 32,
	TLS_SESSION_BYTES = 4016, /* longer ones are not kept */
};

struct tls_session_place {
	_Atomic uint64_t turn; /* odd: being written */
	_Atomic uint64_t claimed_ms;
	unsigned char key[TLS_SESSION_KEY];
	uint32_t len;
	uint32_t unused;
	unsigned char bytes[TLS_SESSION_BYTES];
	uint64_t padding[2];
};

/* The zone "tls.sessions"; all zero is empty. */
struct tls_session_zone {
	struct tls_session_place places[TLS_SESSION_PLACES];
};

/* Bytes copied to out (TLS_SESSION_BYTES of room); 0 if there are none. */
size_t tls_session_get(struct tls_session_zone *zone,
    const unsigned char key[TLS_SESSION_KEY], unsigned char *out);
void tls_session_put(struct tls_session_zone *zone,
    const unsigned char key[TLS_SESSION_KEY], const unsigned char *bytes,
    size_t len, uint64_t now_ms);

#endif
