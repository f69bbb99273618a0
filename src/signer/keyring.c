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
	uint32_t changes;     /* as of then: struct tls_keys_head */
	uint32_t round;       /* of reading it all */
	struct hash_map keys; /* name -> struct held */
	size_t count;
};

struct held {
	EVP_PKEY *key;
	unsigned char id[TLS_KEYS_ID]; /* of which the map borrows */
	uint32_t round;                /* that it was seen in */
};

/* ---- reading ---- */

static bool
read_head(const struct keyring *r, uint32_t *changes)
{
	struct tls_keys_head head;

	if (pread(r->vault_fd, &head, sizeof(head), 0) != sizeof(head) ||
	    head.magic != TLS_KEYS_MAGIC)
		return false;
	*changes = head.changes;
	return true;
}

/* Records that were read already may be others now. */
static bool
has_changed(const struct keyring *r)
{
	uint32_t changes;

	return read_head(r, &changes) && changes != r->changes;
}

static struct held *
get(const struct keyring *r, const unsigned char *id)
{
	return hash_map_get(&r->keys, span_of((const char *)id,
	    TLS_KEYS_ID));
}

static void
keep(struct keyring *r, const struct tls_keys_record *record, EVP_PKEY *key)
{
	struct held *held = heap_alloc_zeroed(1, sizeof(*held));

	memcpy(held->id, record->id, sizeof(held->id));
	held->key = key;
	held->round = r->round;
	hash_map_put(&r->keys, span_of((const char *)held->id,
	    sizeof(held->id)), held);
	r->count++;
}

/* NULL: it is none, or not any more. */
static EVP_PKEY *
read_key(const struct keyring *r, const struct tls_keys_record *record,
    unsigned char *der)
{
	const unsigned char *p = der;
	EVP_PKEY *key = NULL;

	if (pread(r->vault_fd, der, record->len, r->at +
	    (off_t)sizeof(*record)) == (ssize_t)record->len)
		key = d2i_AutoPrivateKey(NULL, &p, (long)record->len);
	OPENSSL_cleanse(der, record->len);
	return key;
}

/* Else it was released while it was read. */
static bool
is_still(const struct keyring *r, const struct tls_keys_record *record)
{
	struct tls_keys_record now;

	return pread(r->vault_fd, &now, sizeof(now), r->at) == sizeof(now) &&
	    memcmp(&now, record, sizeof(now)) == 0;
}

/* The record at r->at: 1, 0 if there is none yet, -1. */
static int
read_one(struct keyring *r, unsigned char *der)
{
	static const unsigned char none[TLS_KEYS_ID];
	struct tls_keys_record record;
	struct held *held;
	EVP_PKEY *key;
	ssize_t n = pread(r->vault_fd, &record, sizeof(record), r->at);

	if (n != sizeof(record) || record.magic != TLS_KEYS_MAGIC)
		return n < 0 ? -1 : 0;
	if (record.len > TLS_KEYS_KEY_MAX || record.room < record.len)
		return -1;
	held = get(r, record.id);
	if (held != NULL) {
		held->round = r->round;
	} else if (memcmp(record.id, none, sizeof(none)) != 0) {
		key = read_key(r, &record, der);
		if (key != NULL)
			keep(r, &record, key);
		else if (is_still(r, &record))
			return -1;
	}
	r->at += (off_t)(sizeof(record) + record.room);
	return 1;
}

/* To the end of what there is. */
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

/* Those that the vault has not any more. */
static void
drop_old(struct keyring *r)
{
	struct hash_map former = r->keys;

	hash_map_init(&r->keys, false);
	r->count = 0;
	for (size_t i = 0; i < former.size; i++) {
		struct held *held = former.entries[i].value;

		if (held == NULL)
			continue;
		if (held->round == r->round) {
			hash_map_put(&r->keys, span_of((const char *)held->id,
			    sizeof(held->id)), held);
			r->count++;
		} else {
			EVP_PKEY_free(held->key);
			free(held);
		}
	}
	hash_map_fini(&former);
}

int
keyring_refresh(struct keyring *r)
{
	if (!has_changed(r))
		return read_more(r);
	(void)read_head(r, &r->changes);
	r->at = sizeof(struct tls_keys_head);
	r->round++;
	if (read_more(r) != 0)
		return -1;
	drop_old(r);
	return 0;
}

struct keyring *
keyring_new(int vault_fd, struct error *err)
{
	struct keyring *r = heap_alloc_zeroed(1, sizeof(*r));

	r->vault_fd = vault_fd;
	r->at = sizeof(struct tls_keys_head);
	hash_map_init(&r->keys, false);
	if (read_head(r, &r->changes) && read_more(r) == 0)
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
	const struct held *held = get(r, id);

	if (held == NULL && keyring_refresh(r) == 0)
		held = get(r, id);
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
