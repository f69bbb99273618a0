/* SPDX-License-Identifier: BSD-2-Clause */
/* keyring - reading the vault, and signatures. */
#include "signer/keyring.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/heap_alloc.h"

struct keyring {
	int vault_fd;
	off_t at;             /* what is before has been read */
	struct hash_map keys; /* name -> struct held */
	size_t count;
};

struct held {
	EVP_PKEY *key;
	unsigned char id[TLS_KEYS_ID]; /* of which the map borrows */
};

/* ---- reading ---- */

static void
keep(struct keyring *r, const struct tls_keys_record *record, EVP_PKEY *key)
{
	struct held *held = heap_alloc_zeroed(1, sizeof(*held));
	struct span name;

	memcpy(held->id, record->id, sizeof(held->id));
	held->key = key;
	name = span_of((const char *)held->id, sizeof(held->id));
	if (hash_map_get(&r->keys, name) != NULL) {
		EVP_PKEY_free(key);
		free(held);
		return;
	}
	hash_map_put(&r->keys, name, held);
	r->count++;
}

/* The record at r->at: 1, 0 if there is none yet, -1. */
static int
read_one(struct keyring *r, unsigned char *der)
{
	struct tls_keys_record record;
	const unsigned char *p = der;
	EVP_PKEY *key;
	ssize_t n = pread(r->vault_fd, &record, sizeof(record), r->at);

	if (n != sizeof(record) || record.magic != TLS_KEYS_MAGIC)
		return n < 0 ? -1 : 0;
	if (record.len > TLS_KEYS_KEY_MAX)
		return -1;
	n = pread(r->vault_fd, der, record.len, r->at +
	    (off_t)sizeof(record));
	if (n != (ssize_t)record.len)
		return -1;
	key = d2i_AutoPrivateKey(NULL, &p, (long)record.len);
	OPENSSL_cleanse(der, record.len);
	if (key == NULL)
		return -1;
	keep(r, &record, key);
	r->at += (off_t)(sizeof(record) + record.len);
	return 1;
}

static int
read_more(struct keyring *r)
{
	unsigned char *der = heap_alloc(TLS_KEYS_KEY_MAX);
	int result;

	do
		result = read_one(r, der);
	while (result == 1);
	free(der);
	ERR_clear_error();
	return result;
}

struct keyring *
keyring_new(int vault_fd, struct error *err)
{
	struct keyring *r = heap_alloc_zeroed(1, sizeof(*r));

	r->vault_fd = vault_fd;
	hash_map_init(&r->keys, false);
	if (read_more(r) == 0)
		return r;
	keyring_free(r);
	error_set(err, "the keys cannot be read");
	return NULL;
}

void
keyring_free(struct keyring *r)
{
	if (r == NULL)
		return;
	for (size_t i = 0; i < r->keys.size; i++) {
		struct held *held = r->keys.entries[i].value;

		if (held != NULL)
			EVP_PKEY_free(held->key);
		free(held);
	}
	hash_map_fini(&r->keys);
	free(r);
}

size_t
keyring_count(const struct keyring *r)
{
	return r->count;
}

static EVP_PKEY *
find(struct keyring *r, const unsigned char *id)
{
	const struct span name = span_of((const char *)id, TLS_KEYS_ID);
	const struct held *held = hash_map_get(&r->keys, name);

	if (held == NULL && read_more(r) == 0)
		held = hash_map_get(&r->keys, name);
	return held != NULL ? held->key : NULL;
}

/* ---- signing ---- */

static int
set_padding(EVP_PKEY_CTX *ctx, bool is_pss)
{
	if (EVP_PKEY_CTX_set_rsa_padding(ctx, is_pss ? RSA_PKCS1_PSS_PADDING
	    : RSA_PKCS1_PADDING) != 1)
		return -1;
	return !is_pss || EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx,
	    RSA_PSS_SALTLEN_DIGEST) == 1 ? 0 : -1;
}

static int
sign_digest(EVP_PKEY *key, const struct tls_keys_request *request,
    unsigned char *out, size_t *len)
{
	const EVP_MD *md = EVP_get_digestbynid(request->digest);
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
	bool is_ecdsa = request->scheme == TLS_KEYS_ECDSA;
	int result = -1;

	/* Nothing but what has the length of a digest is ever signed. */
	if (md != NULL && ctx != NULL &&
	    request->len == (uint32_t)EVP_MD_get_size(md) &&
	    EVP_PKEY_sign_init(ctx) == 1 && (is_ecdsa || set_padding(ctx,
	    request->scheme == TLS_KEYS_RSA_PSS) == 0) &&
	    EVP_PKEY_CTX_set_signature_md(ctx, md) == 1 &&
	    EVP_PKEY_sign(ctx, out, len, request->input, request->len) == 1)
		result = 0;
	EVP_PKEY_CTX_free(ctx);
	return result;
}

static int
sign_whole(EVP_PKEY *key, const struct tls_keys_request *request,
    unsigned char *out, size_t *len)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	int result = -1;

	if (ctx != NULL &&
	    EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) == 1 &&
	    EVP_DigestSign(ctx, out, len, request->input, request->len) == 1)
		result = 0;
	EVP_MD_CTX_free(ctx);
	return result;
}

static bool
is_for(EVP_PKEY *key, uint32_t scheme)
{
	switch (EVP_PKEY_get_base_id(key)) {
	case EVP_PKEY_RSA:
		return scheme == TLS_KEYS_RSA_PKCS1 ||
		    scheme == TLS_KEYS_RSA_PSS;
	case EVP_PKEY_EC:
		return scheme == TLS_KEYS_ECDSA;
	case EVP_PKEY_ED25519:
	case EVP_PKEY_ED448:
		return scheme == TLS_KEYS_EDWARDS;
	default:
		return false;
	}
}

void
keyring_answer(struct keyring *r, const struct tls_keys_request *request,
    size_t len, struct tls_keys_response *response)
{
	const size_t head = offsetof(struct tls_keys_request, input);
	size_t signature_len = sizeof(response->signature);
	EVP_PKEY *key;

	response->sequence = len >= head ? request->sequence : 0;
	response->len = 0;
	if (len < head || request->len > sizeof(request->input) ||
	    len != head + request->len)
		return;
	key = find(r, request->id);
	if (key == NULL || !is_for(key, request->scheme))
		return;
	if ((request->scheme == TLS_KEYS_EDWARDS
	    ? sign_whole(key, request, response->signature, &signature_len)
	    : sign_digest(key, request, response->signature,
	    &signature_len)) == 0)
		response->len = (uint32_t)signature_len;
	ERR_clear_error();
}
