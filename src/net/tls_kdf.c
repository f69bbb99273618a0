/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tls_kdf - the key schedule of TLS 1.3 without OpenSSL's detours.
 *
 * A handshake derives some twenty secrets.  For each of them OpenSSL 3 copies
 * every parameter to the heap and fetches digest and HMAC by name, which takes
 * longer than what is computed.  This one function does it with
 * OpenSSL's hashes and everything on the stack.
 */
#define OPENSSL_SUPPRESS_DEPRECATED /* SHA256_Init() and its kind */

#include "net/tls_kdf.h"

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/sha.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "base/span.h"
#include "net/tls_provider.h"

#ifdef OPENSSL_NO_DEPRECATED_3_0

/* An OpenSSL that was built without those: all is left to it. */
const OSSL_ALGORITHM tls_kdf_functions[] = {
	{ NULL, NULL, NULL, NULL },
};

#else

enum {
	HASH_MAX = SHA384_DIGEST_LENGTH,
	BLOCK_MAX = SHA512_CBLOCK,
	PART_MAX = 255,
	/* RFC 8446, section 7.1: length, label and context, then a number. */
	INFO_MAX = 2 + 1 + PART_MAX + 1 + PART_MAX + 1,
};

typedef void (*function)(void);

#define ROW(id, name) { id, (function)(name) }

/* SHA-256 or SHA-384. */
struct hash {
	bool is_384;
	union {
		SHA256_CTX sha256;
		SHA512_CTX sha384;
	} state;
};

/* What is to be derived; borrows from the caller's parameters. */
struct wish {
	bool is_384;
	int mode;
	struct span key, salt, prefix, label, data;
};

static size_t
hash_bytes(bool is_384)
{
	return is_384 ? SHA384_DIGEST_LENGTH : SHA256_DIGEST_LENGTH;
}

static void
hash_init(struct hash *h, bool is_384)
{
	h->is_384 = is_384;
	if (is_384)
		SHA384_Init(&h->state.sha384);
	else
		SHA256_Init(&h->state.sha256);
}

static void
hash_add(struct hash *h, const void *p, size_t len)
{
	if (h->is_384)
		SHA384_Update(&h->state.sha384, p, len);
	else
		SHA256_Update(&h->state.sha256, p, len);
}

static void
hash_end(struct hash *h, unsigned char *out)
{
	if (h->is_384)
		SHA384_Final(out, &h->state.sha384);
	else
		SHA256_Final(out, &h->state.sha256);
}

/* HMAC (RFC 2104) with a key of at most a block. */
static void
mac(bool is_384, struct span key, const void *p, size_t len,
    unsigned char *out)
{
	size_t block_bytes = is_384 ? SHA512_CBLOCK : SHA256_CBLOCK;
	unsigned char block[BLOCK_MAX] = { 0 };
	struct hash h;

	if (key.len > 0)
		memcpy(block, key.p, key.len);
	for (size_t i = 0; i < sizeof(block); i++)
		block[i] ^= 0x36;
	hash_init(&h, is_384);
	hash_add(&h, block, block_bytes);
	hash_add(&h, p, len);
	hash_end(&h, out);
	for (size_t i = 0; i < sizeof(block); i++)
		block[i] ^= 0x36 ^ 0x5c;
	hash_init(&h, is_384);
	hash_add(&h, block, block_bytes);
	hash_add(&h, out, hash_bytes(is_384));
	hash_end(&h, out);
	OPENSSL_cleanse(block, sizeof(block));
	OPENSSL_cleanse(&h, sizeof(h));
}

/* HKDF-Expand-Label (RFC 8446, section 7.1); 1, or 0 if it does not fit. */
static int
expand(const struct wish *w, unsigned char *out, size_t len)
{
	unsigned char text[HASH_MAX + INFO_MAX]; /* T(i - 1), info, i */
	size_t bytes = hash_bytes(w->is_384);
	unsigned char *info = text + bytes, *p = info;
	const unsigned char *from = info;
	size_t label_len = w->prefix.len + w->label.len;

	if (label_len > PART_MAX || w->data.len > PART_MAX ||
	    len > PART_MAX * bytes || w->key.len > SHA256_CBLOCK)
		return 0;
	*p++ = (unsigned char)(len >> 8);
	*p++ = (unsigned char)len;
	*p++ = (unsigned char)label_len;
	memcpy(p, w->prefix.p, w->prefix.len);
	p += w->prefix.len;
	memcpy(p, w->label.p, w->label.len);
	p += w->label.len;
	*p++ = (unsigned char)w->data.len;
	if (w->data.len > 0)
		memcpy(p, w->data.p, w->data.len);
	p += w->data.len;
	for (*p = 1; len > 0; (*p)++) {
		size_t n = len < bytes ? len : bytes;

		mac(w->is_384, w->key, from, (size_t)(p + 1 - from), text);
		memcpy(out, text, n);
		from = text;
		out += n;
		len -= n;
	}
	OPENSSL_cleanse(text, bytes);
	return 1;
}

/*
 * The next of the secrets that follow each other: HKDF-Extract of the key, with
 * what is derived of the one before as its salt.
 */
static int
extract(const struct wish *w, unsigned char *out, size_t len)
{
	static const unsigned char zeros[HASH_MAX];
	size_t bytes = hash_bytes(w->is_384);
	unsigned char empty[HASH_MAX], salt[HASH_MAX];
	struct span key = w->key;
	struct wish former = *w;
	struct hash h;

	if (len != bytes)
		return 0;
	if (key.p == NULL)
		key = span_of((const char *)zeros, bytes);
	former.key = w->salt;
	if (w->salt.p != NULL) {
		hash_init(&h, w->is_384);
		hash_end(&h, empty);
		former.data = span_of((const char *)empty, bytes);
		if (expand(&former, salt, bytes) != 1)
			return 0;
		former.key = span_of((const char *)salt, bytes);
	}
	mac(w->is_384, former.key, key.p, key.len, out);
	OPENSSL_cleanse(salt, sizeof(salt));
	return 1;
}

static int
read_digest(struct wish *w, const OSSL_PARAM *p)
{
	static const char *const names[2][3] = {
		{ "SHA2-256", "SHA256", "SHA-256" },
		{ "SHA2-384", "SHA384", "SHA-384" },
	};

	if (p->data_type != OSSL_PARAM_UTF8_STRING || p->data == NULL)
		return 0;
	for (int is_384 = 0; is_384 < 2; is_384++) {
		for (int i = 0; i < 3; i++) {
			if (strcasecmp(p->data, names[is_384][i]) == 0) {
				w->is_384 = is_384;
				return 1;
			}
		}
	}
	return 0;
}

static int
read_params(struct wish *w, const OSSL_PARAM *p)
{
	const struct {
		const char *name;
		struct span *where;
	} parts[] = {
		{ OSSL_KDF_PARAM_KEY, &w->key },
		{ OSSL_KDF_PARAM_PREFIX, &w->prefix },
		{ OSSL_KDF_PARAM_LABEL, &w->label },
		{ OSSL_KDF_PARAM_DATA, &w->data },
		{ OSSL_KDF_PARAM_SALT, &w->salt },
	};
	bool has_digest = false;

	for (; p != NULL && p->key != NULL; p++) {
		if (strcmp(p->key, OSSL_KDF_PARAM_DIGEST) == 0) {
			has_digest = true;
			if (read_digest(w, p) != 1)
				return 0;
		}
		if (strcmp(p->key, OSSL_KDF_PARAM_MODE) == 0 &&
		    OSSL_PARAM_get_int(p, &w->mode) != 1)
			return 0;
		for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
			if (strcmp(p->key, parts[i].name) != 0)
				continue;
			if (p->data_type != OSSL_PARAM_OCTET_STRING ||
			    (p->data == NULL && p->data_size > 0))
				return 0;
			*parts[i].where = span_of(p->data, p->data_size);
		}
	}
	return has_digest && w->prefix.p != NULL && w->label.p != NULL;
}

static int
derive(void *context, unsigned char *out, size_t len,
    const OSSL_PARAM params[])
{
	struct wish w = { .mode = -1 };

	(void)context;
	if (read_params(&w, params) != 1)
		return 0;
	if (w.mode == EVP_KDF_HKDF_MODE_EXPAND_ONLY && w.key.p != NULL)
		return expand(&w, out, len);
	if (w.mode == EVP_KDF_HKDF_MODE_EXTRACT_ONLY)
		return extract(&w, out, len);
	return 0;
}

/* ---- for the provider ---- */

/* Everything comes with derive(): there is nothing to keep. */
static void *
context_new(void *provider)
{
	return provider;
}

static void
context_free(void *context)
{
	(void)context;
}

static const OSSL_DISPATCH rows[] = {
	ROW(OSSL_FUNC_KDF_NEWCTX, context_new),
	ROW(OSSL_FUNC_KDF_FREECTX, context_free),
	ROW(OSSL_FUNC_KDF_RESET, context_free),
	ROW(OSSL_FUNC_KDF_DERIVE, derive),
	{ 0, NULL },
};

const OSSL_ALGORITHM tls_kdf_functions[] = {
	{ "TLS13-KDF", TLS_PROVIDER_DEFINITION, rows, NULL },
	{ NULL, NULL, NULL, NULL },
};

#endif
