/* SPDX-License-Identifier: BSD-2-Clause */
/* digest - SHA-256 by OpenSSL's EVP, looked up once. */
#include "base/digest.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>

#include "base/heap_alloc.h"

enum { BLOCK_BYTES = 64 }; /* of SHA-256, for HMAC */

struct digest {
	EVP_MD *sha256;
	EVP_MD_CTX *ctx;
};

struct digest *
digest_new(void)
{
	struct digest *d = heap_alloc_zeroed(1, sizeof(*d));

	/* Looked up here: by name it costs more than the hash itself. */
	d->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	d->ctx = EVP_MD_CTX_new();
	if (d->sha256 == NULL || d->ctx == NULL)
		abort();
	return d;
}

void
digest_free(struct digest *d)
{
	if (d == NULL)
		return;
	EVP_MD_CTX_free(d->ctx);
	EVP_MD_free(d->sha256);
	free(d);
}

static void
hash(struct digest *d, struct span first, const struct span *pieces,
    size_t count, uint8_t out[DIGEST_SHA256_BYTES])
{
	bool is_done = EVP_DigestInit_ex2(d->ctx, d->sha256, NULL) == 1;

	if (first.len > 0)
		is_done &= EVP_DigestUpdate(d->ctx, first.p, first.len) == 1;
	for (size_t i = 0; i < count; i++) {
		if (pieces[i].len > 0)
			is_done &= EVP_DigestUpdate(d->ctx, pieces[i].p,
			    pieces[i].len) == 1;
	}
	is_done &= EVP_DigestFinal_ex(d->ctx, out, NULL) == 1;
	/* A digest that is not one would let somebody in. */
	if (!is_done)
		abort();
}

void
digest_sha256(struct digest *d, const struct span *pieces, size_t count,
    uint8_t out[DIGEST_SHA256_BYTES])
{
	hash(d, span_of(NULL, 0), pieces, count, out);
}

void
digest_hmac(struct digest *d, const uint8_t key[DIGEST_SHA256_BYTES],
    const struct span *pieces, size_t count, uint8_t out[DIGEST_SHA256_BYTES])
{
	uint8_t pad[BLOCK_BYTES], inner[DIGEST_SHA256_BYTES];
	struct span piece = span_of((const char *)inner, sizeof(inner));

	for (size_t i = 0; i < BLOCK_BYTES; i++)
		pad[i] = 0x36 ^ (i < DIGEST_SHA256_BYTES ? key[i] : 0);
	hash(d, span_of((const char *)pad, sizeof(pad)), pieces, count,
	    inner);
	for (size_t i = 0; i < BLOCK_BYTES; i++)
		pad[i] = 0x5c ^ (i < DIGEST_SHA256_BYTES ? key[i] : 0);
	hash(d, span_of((const char *)pad, sizeof(pad)), &piece, 1, out);
	digest_wipe(pad, sizeof(pad));
}

bool
digest_is_equal(const void *a, const void *b, size_t len)
{
	return CRYPTO_memcmp(a, b, len) == 0;
}

void
digest_wipe(void *p, size_t len)
{
	OPENSSL_cleanse(p, len);
}
