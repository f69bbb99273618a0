/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * digest - SHA-256, HMAC with it, and comparing what is secret.
 *
 * Over OpenSSL, whose types stay in digest.c.  A struct digest is the working
 * memory of one thread: making it costs an allocation, using it none.
 */
#ifndef BASE_DIGEST_H
#define BASE_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

enum { DIGEST_SHA256_BYTES = 32 };

struct digest;

/* Never NULL: without SHA-256 there is no weir.  NULL is freed, too. */
struct digest *digest_new(void);
void digest_free(struct digest *d);

/* Of all pieces, one behind the other (FIPS 180-4). */
void digest_sha256(struct digest *d, const struct span *pieces, size_t count,
    uint8_t out[DIGEST_SHA256_BYTES]);
/* RFC 2104, with a key of 32 bytes. */
void digest_hmac(struct digest *d, const uint8_t key[DIGEST_SHA256_BYTES],
    const struct span *pieces, size_t count,
    uint8_t out[DIGEST_SHA256_BYTES]);

/* In a time that depends on len alone, not on where they differ. */
bool digest_is_equal(const void *a, const void *b, size_t len);
/* Overwrite what was secret; never left out by the compiler. */
void digest_wipe(void *p, size_t len);

#endif
