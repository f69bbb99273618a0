/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tls_exchange - X25519 for handshakes: OpenSSL's, with our key pairs.
 *
 * A handshake makes a pair, which tls_x25519 does in a third of OpenSSL's time.
 * Everything else is that of OpenSSL's default provider, whose functions stand
 * in our tables: keys are its own objects, which only we have filled in.
 */
#include "net/tls_exchange.h"

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "net/tls_provider.h"
#include "net/tls_x25519.h"

#define ALGORITHM "X25519"
#define GROUP "x25519"

enum { ROWS_MAX = 48, GROUP_ID = 29 /* RFC 8446, section 4.2.7 */ };

typedef void (*function)(void);

#define ROW(id, name) { id, (function)(name) }

/* Of the process, as providers are: what was there before, and our tables. */
static struct {
	void *context;
	OSSL_FUNC_keymgmt_new_fn *key_new;
	OSSL_FUNC_keymgmt_free_fn *key_free;
	OSSL_FUNC_keymgmt_import_fn *key_import;
	OSSL_FUNC_keyexch_newctx_fn *exchange_new;
} base;
static OSSL_DISPATCH key_rows[ROWS_MAX + 1], exchange_rows[ROWS_MAX + 1];

const OSSL_ALGORITHM tls_exchange_keys[] = {
	{ ALGORITHM, TLS_PROVIDER_DEFINITION, key_rows, NULL },
	{ NULL, NULL, NULL, NULL },
};

const OSSL_ALGORITHM tls_exchange_exchanges[] = {
	{ ALGORITHM, TLS_PROVIDER_DEFINITION, exchange_rows, NULL },
	{ NULL, NULL, NULL, NULL },
};

/* ---- what is ours ---- */

static void *
key_new(void *provider)
{
	(void)provider;
	return base.key_new(base.context);
}

static void *
exchange_new(void *provider)
{
	(void)provider;
	return base.exchange_new(base.context);
}

static int
set_params(void *making, const OSSL_PARAM params[])
{
	const OSSL_PARAM *p = params == NULL ? NULL
	    : OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_GROUP_NAME);

	(void)making;
	return p == NULL || (p->data_type == OSSL_PARAM_UTF8_STRING &&
	    strcasecmp(p->data, GROUP) == 0);
}

static const OSSL_PARAM *
settable(void *making, void *provider)
{
	static const OSSL_PARAM list[] = {
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
		OSSL_PARAM_END,
	};

	(void)making;
	(void)provider;
	return list;
}

/* All that a making has to know: a pair, or a key that is still empty. */
static char a_pair, an_empty_key;

static void *
making_new(void *provider, int selection, const OSSL_PARAM params[])
{
	(void)provider;
	if (!set_params(NULL, params))
		return NULL;
	return (selection & OSSL_KEYMGMT_SELECT_KEYPAIR) != 0 ? &a_pair
							       : &an_empty_key;
}

static void
making_free(void *making)
{
	(void)making;
}

static int
fill(void *key)
{
	unsigned char secret[TLS_X25519_BYTES], public[TLS_X25519_BYTES];
	OSSL_PARAM params[3];
	int result;

	if (RAND_priv_bytes(secret, sizeof(secret)) != 1)
		return 0;
	secret[0] &= 248;
	secret[sizeof(secret) - 1] &= 127;
	secret[sizeof(secret) - 1] |= 64;
	tls_x25519_public(public, secret);
	params[0] = OSSL_PARAM_construct_octet_string(
	    OSSL_PKEY_PARAM_PRIV_KEY, secret, sizeof(secret));
	params[1] = OSSL_PARAM_construct_octet_string(
	    OSSL_PKEY_PARAM_PUB_KEY, public, sizeof(public));
	params[2] = OSSL_PARAM_construct_end();
	result = base.key_import(key, OSSL_KEYMGMT_SELECT_KEYPAIR, params);
	OPENSSL_cleanse(secret, sizeof(secret));
	return result;
}

static void *
make(void *making, OSSL_CALLBACK *callback, void *arg)
{
	void *key = base.key_new(base.context);

	(void)callback;
	(void)arg;
	if (key != NULL && making == &a_pair && fill(key) != 1) {
		base.key_free(key);
		key = NULL;
	}
	return key;
}

/* ---- what is OpenSSL's ---- */

static function
find(const OSSL_DISPATCH *rows, int id)
{
	for (; rows->function_id != 0; rows++) {
		if (rows->function_id == id)
			return rows->function;
	}
	return NULL;
}

/* Its functions, and ours instead of some; false if there are too many. */
static bool
copy(OSSL_DISPATCH *to, const OSSL_DISPATCH *from, const OSSL_DISPATCH *ours)
{
	size_t n = 0;

	for (; from->function_id != 0; from++) {
		function f = find(ours, from->function_id);

		if (n == ROWS_MAX)
			return false;
		to[n++] = f != NULL ? (OSSL_DISPATCH){ from->function_id, f }
				    : *from;
	}
	return true;
}

static const OSSL_DISPATCH *
rows_of(OSSL_PROVIDER *provider, int operation)
{
	int no_cache = 0;
	const OSSL_ALGORITHM *a = OSSL_PROVIDER_query_operation(provider,
	    operation, &no_cache);

	for (; a != NULL && a->algorithm_names != NULL; a++) {
		size_t len = strcspn(a->algorithm_names, ":");

		if (len == strlen(ALGORITHM) && strncasecmp(
		    a->algorithm_names, ALGORITHM, len) == 0)
			return a->implementation;
	}
	return NULL;
}

static bool
take_over(OSSL_PROVIDER *provider)
{
	static const OSSL_DISPATCH our_keys[] = {
		ROW(OSSL_FUNC_KEYMGMT_NEW, key_new),
		ROW(OSSL_FUNC_KEYMGMT_GEN_INIT, making_new),
		ROW(OSSL_FUNC_KEYMGMT_GEN_SET_PARAMS, set_params),
		ROW(OSSL_FUNC_KEYMGMT_GEN_SETTABLE_PARAMS, settable),
		ROW(OSSL_FUNC_KEYMGMT_GEN, make),
		ROW(OSSL_FUNC_KEYMGMT_GEN_CLEANUP, making_free),
		{ 0, NULL },
	};
	static const OSSL_DISPATCH our_exchange[] = {
		ROW(OSSL_FUNC_KEYEXCH_NEWCTX, exchange_new),
		{ 0, NULL },
	};
	const OSSL_DISPATCH *keys = rows_of(provider, OSSL_OP_KEYMGMT);
	const OSSL_DISPATCH *exchange = rows_of(provider, OSSL_OP_KEYEXCH);

	if (keys == NULL || exchange == NULL)
		return false;
	base.context = OSSL_PROVIDER_get0_provider_ctx(provider);
	base.key_new = (OSSL_FUNC_keymgmt_new_fn *)find(keys,
	    OSSL_FUNC_KEYMGMT_NEW);
	base.key_free = (OSSL_FUNC_keymgmt_free_fn *)find(keys,
	    OSSL_FUNC_KEYMGMT_FREE);
	base.key_import = (OSSL_FUNC_keymgmt_import_fn *)find(keys,
	    OSSL_FUNC_KEYMGMT_IMPORT);
	base.exchange_new = (OSSL_FUNC_keyexch_newctx_fn *)find(exchange,
	    OSSL_FUNC_KEYEXCH_NEWCTX);
	return base.key_new != NULL && base.key_free != NULL &&
	    base.key_import != NULL && base.exchange_new != NULL &&
	    find(keys, OSSL_FUNC_KEYMGMT_GEN) != NULL &&
	    copy(key_rows, keys, our_keys) &&
	    copy(exchange_rows, exchange, our_exchange);
}

bool
tls_exchange_init(void)
{
	OSSL_PROVIDER *provider;

	/* Where somebody has configured others, it is not for us to load it. */
	if (OSSL_PROVIDER_available(NULL, "default") != 1 ||
	    !tls_x25519_init())
		return false;
	/* A reference that stays: its functions are called from now on. */
	provider = OSSL_PROVIDER_try_load(NULL, "default", 1);
	return provider != NULL && take_over(provider);
}

int
tls_exchange_group(OSSL_CALLBACK *callback, void *arg)
{
	char name[] = GROUP, algorithm[] = ALGORITHM;
	unsigned id = GROUP_ID, bits = 128;
	int tls_min = TLS1_VERSION, dtls_min = DTLS1_VERSION, none = 0;
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(
		    OSSL_CAPABILITY_TLS_GROUP_NAME, name, 0),
		OSSL_PARAM_construct_utf8_string(
		    OSSL_CAPABILITY_TLS_GROUP_NAME_INTERNAL, algorithm, 0),
		OSSL_PARAM_construct_utf8_string(
		    OSSL_CAPABILITY_TLS_GROUP_ALG, algorithm, 0),
		OSSL_PARAM_construct_uint(OSSL_CAPABILITY_TLS_GROUP_ID, &id),
		OSSL_PARAM_construct_uint(
		    OSSL_CAPABILITY_TLS_GROUP_SECURITY_BITS, &bits),
		OSSL_PARAM_construct_int(OSSL_CAPABILITY_TLS_GROUP_MIN_TLS,
		    &tls_min),
		OSSL_PARAM_construct_int(OSSL_CAPABILITY_TLS_GROUP_MAX_TLS,
		    &none),
		OSSL_PARAM_construct_int(OSSL_CAPABILITY_TLS_GROUP_MIN_DTLS,
		    &dtls_min),
		OSSL_PARAM_construct_int(OSSL_CAPABILITY_TLS_GROUP_MAX_DTLS,
		    &none),
		OSSL_PARAM_construct_end(),
	};

	return callback(params, arg);
}
