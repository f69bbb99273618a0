/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tls_keys_provider - keys without their private half, for OpenSSL.
 *
 * A provider in a library context of its own, so that nothing else can fetch
 * from it by accident: only keys that were made there come here.  What a key
 * is asked about itself, its public half answers; a signature is asked for
 * elsewhere.  Exporting a private half is refused, which is also what makes
 * OpenSSL look for the signature here and not in its own provider.
 */
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/heap_alloc.h"
#include "net/tls_keys_private.h"

#define PARAM_PARTS "weir-parts"

/* What a key is made of; by address, in PARAM_PARTS. */
struct parts {
	struct tls_keys *keys;
	EVP_PKEY *half;
	unsigned char id[TLS_KEYS_ID];
};

struct key {
	const char *type;
	EVP_PKEY *half;        /* public, of OpenSSL's own provider */
	struct tls_keys *keys; /* NULL: that is all there is */
	unsigned char id[TLS_KEYS_ID];
};

typedef void (*function)(void);

#define ROW(id, name) { id, (function)(name) }

/* ---- keys ---- */

static void *
key_new(const char *type)
{
	struct key *key = heap_alloc_zeroed(1, sizeof(*key));

	key->type = type;
	return key;
}

static void *
new_rsa(void *provider)
{
	(void)provider;
	return key_new("RSA");
}

static void *
new_ec(void *provider)
{
	(void)provider;
	return key_new("EC");
}

static void *
new_ed25519(void *provider)
{
	(void)provider;
	return key_new("ED25519");
}

static void *
new_ed448(void *provider)
{
	(void)provider;
	return key_new("ED448");
}

static void
key_free(void *p)
{
	struct key *key = p;

	if (key == NULL)
		return;
	EVP_PKEY_free(key->half);
	free(key);
}

static int
key_has(const void *p, int selection)
{
	const struct key *key = p;

	if (key == NULL || key->half == NULL)
		return 0;
	return (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) == 0 ||
	    key->keys != NULL;
}

static int
key_match(const void *a, const void *b, int selection)
{
	const struct key *one = a, *other = b;

	(void)selection;
	return one->half != NULL && other->half != NULL &&
	    EVP_PKEY_eq(one->half, other->half) == 1;
}

static int
take_parts(struct key *key, const struct parts *parts)
{
	if (EVP_PKEY_up_ref(parts->half) != 1)
		return 0;
	key->half = parts->half;
	key->keys = parts->keys;
	memcpy(key->id, parts->id, sizeof(key->id));
	return 1;
}

/* Parts, or the public half of somebody else's key that is to be compared. */
static int
key_import(void *p, int selection, const OSSL_PARAM params[])
{
	const OSSL_PARAM *own = OSSL_PARAM_locate_const(params, PARAM_PARTS);
	struct key *key = p;
	const void *parts;
	size_t len;
	EVP_PKEY_CTX *ctx;
	union { const OSSL_PARAM *in; OSSL_PARAM *out; } u = { params };
	int result;

	if (own != NULL)
		return OSSL_PARAM_get_octet_ptr(own, &parts, &len) == 1 &&
		    len == sizeof(struct parts) && take_parts(key, parts);
	if ((selection & OSSL_KEYMGMT_SELECT_PUBLIC_KEY) == 0)
		return 0;
	ctx = EVP_PKEY_CTX_new_from_name(NULL, key->type, NULL);
	result = ctx != NULL && EVP_PKEY_fromdata_init(ctx) == 1 &&
	    EVP_PKEY_fromdata(ctx, &key->half, EVP_PKEY_PUBLIC_KEY, u.out) ==
	    1;
	EVP_PKEY_CTX_free(ctx);
	return result;
}

static int
key_export(void *p, int selection, OSSL_CALLBACK *fn, void *arg)
{
	struct key *key = p;

	if (key->half == NULL ||
	    (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0)
		return 0;
	return EVP_PKEY_export(key->half, EVP_PKEY_PUBLIC_KEY, fn, arg);
}

static const OSSL_PARAM *
key_types(int selection)
{
	static const OSSL_PARAM types[] = {
		OSSL_PARAM_octet_ptr(PARAM_PARTS, NULL, 0),
		OSSL_PARAM_END
	};

	(void)selection;
	return types;
}

static int
key_get_params(void *p, OSSL_PARAM params[])
{
	struct key *key = p;

	return key->half != NULL && EVP_PKEY_get_params(key->half, params);
}

static const OSSL_PARAM *
key_gettable(void *provider)
{
	static const OSSL_PARAM params[] = {
		OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, NULL),
		OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, NULL),
		OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, NULL),
		OSSL_PARAM_END
	};

	(void)provider;
	return params;
}

static const char *
ec_operation(int operation)
{
	return operation == OSSL_OP_SIGNATURE ? "ECDSA" : NULL;
}

#define KEY_ROWS(new_fn)                                                     \
	ROW(OSSL_FUNC_KEYMGMT_NEW, new_fn),                                  \
	ROW(OSSL_FUNC_KEYMGMT_FREE, key_free),                               \
	ROW(OSSL_FUNC_KEYMGMT_HAS, key_has),                                 \
	ROW(OSSL_FUNC_KEYMGMT_MATCH, key_match),                             \
	ROW(OSSL_FUNC_KEYMGMT_IMPORT, key_import),                           \
	ROW(OSSL_FUNC_KEYMGMT_IMPORT_TYPES, key_types),                      \
	ROW(OSSL_FUNC_KEYMGMT_EXPORT, key_export),                           \
	ROW(OSSL_FUNC_KEYMGMT_EXPORT_TYPES, key_types),                      \
	ROW(OSSL_FUNC_KEYMGMT_GET_PARAMS, key_get_params),                   \
	ROW(OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS, key_gettable)

static const OSSL_DISPATCH rsa_rows[] = { KEY_ROWS(new_rsa), { 0, NULL } };
static const OSSL_DISPATCH ec_rows[] = { KEY_ROWS(new_ec),
	ROW(OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME, ec_operation),
	{ 0, NULL } };
static const OSSL_DISPATCH ed25519_rows[] = { KEY_ROWS(new_ed25519),
	{ 0, NULL } };
static const OSSL_DISPATCH ed448_rows[] = { KEY_ROWS(new_ed448),
	{ 0, NULL } };

static const OSSL_ALGORITHM keys[] = {
	{ "RSA:rsaEncryption:1.2.840.113549.1.1.1", "provider=weir", rsa_rows,
		NULL },
	{ "EC:id-ecPublicKey:1.2.840.10045.2.1", "provider=weir", ec_rows,
		NULL },
	{ "ED25519:1.3.101.112", "provider=weir", ed25519_rows, NULL },
	{ "ED448:1.3.101.113", "provider=weir", ed448_rows, NULL },
	{ NULL, NULL, NULL, NULL },
};

/* ---- signatures ---- */

struct signing {
	const struct key *key; /* borrowed: the operation holds it */
	EVP_MD *md;
	bool is_pss;
};

static void *
signing_new(void *provider, const char *properties)
{
	(void)provider;
	(void)properties;
	return heap_alloc_zeroed(1, sizeof(struct signing));
}

static void
signing_free(void *p)
{
	struct signing *s = p;

	if (s == NULL)
		return;
	EVP_MD_free(s->md);
	free(s);
}

/* The padding of RSA comes as a number, or as a word. */
static int
signing_set(void *p, const OSSL_PARAM params[])
{
	struct signing *s = p;
	const OSSL_PARAM *pad = params != NULL
	    ? OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_PAD_MODE)
	    : NULL;
	int number = RSA_PKCS1_PADDING;

	if (pad == NULL)
		return 1;
	if (pad->data_type == OSSL_PARAM_UTF8_STRING)
		s->is_pss = pad->data != NULL &&
		    strcmp(pad->data, OSSL_PKEY_RSA_PAD_MODE_PSS) == 0;
	else if (OSSL_PARAM_get_int(pad, &number) == 1)
		s->is_pss = number == RSA_PKCS1_PSS_PADDING;
	else
		return 0;
	return 1;
}

static const OSSL_PARAM *
signing_settable(void *p, void *provider)
{
	static const OSSL_PARAM params[] = {
		OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE, NULL,
		    0),
		OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, NULL,
		    0),
		OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_MGF1_DIGEST, NULL,
		    0),
		OSSL_PARAM_END
	};

	(void)p;
	(void)provider;
	return params;
}

static int
signing_init(void *p, const char *digest, void *key,
    const OSSL_PARAM params[])
{
	struct signing *s = p;

	s->key = key;
	s->is_pss = false;
	EVP_MD_free(s->md);
	s->md = NULL;
	if (digest != NULL && digest[0] != '\0' &&
	    (s->md = EVP_MD_fetch(NULL, digest, NULL)) == NULL)
		return 0;
	return s->key->keys != NULL && signing_set(s, params);
}

static enum tls_keys_scheme
scheme_of(const struct signing *s)
{
	switch (s->key->type[1]) {
	case 'S':
		return s->is_pss ? TLS_KEYS_RSA_PSS : TLS_KEYS_RSA_PKCS1;
	case 'C':
		return TLS_KEYS_ECDSA;
	default:
		return TLS_KEYS_EDWARDS;
	}
}

static int
signing_sign(void *p, unsigned char *out, size_t *out_len, size_t size,
    const unsigned char *in, size_t len)
{
	const struct signing *s = p;
	struct tls_keys_request request;
	unsigned digest_len = 0;

	if (out == NULL) {
		*out_len = (size_t)EVP_PKEY_get_size(s->key->half);
		return 1;
	}
	request.scheme = scheme_of(s);
	request.digest = 0;
	memcpy(request.id, s->key->id, sizeof(request.id));
	if (request.scheme == TLS_KEYS_EDWARDS) {
		if (len > sizeof(request.input))
			return 0;
		memcpy(request.input, in, len);
		request.len = (uint32_t)len;
	} else {
		if (s->md == NULL || EVP_Digest(in, len, request.input,
		    &digest_len, s->md, NULL) != 1)
			return 0;
		request.digest = EVP_MD_get_type(s->md);
		request.len = digest_len;
	}
	return tls_keys_client_sign(s->key->keys, &request, out, out_len,
	    size) == 0;
}

static const OSSL_DISPATCH signature_rows[] = {
	ROW(OSSL_FUNC_SIGNATURE_NEWCTX, signing_new),
	ROW(OSSL_FUNC_SIGNATURE_FREECTX, signing_free),
	ROW(OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT, signing_init),
	ROW(OSSL_FUNC_SIGNATURE_DIGEST_SIGN, signing_sign),
	ROW(OSSL_FUNC_SIGNATURE_SET_CTX_PARAMS, signing_set),
	ROW(OSSL_FUNC_SIGNATURE_SETTABLE_CTX_PARAMS, signing_settable),
	{ 0, NULL },
};

static const OSSL_ALGORITHM signatures[] = {
	{ "RSA:rsaEncryption:1.2.840.113549.1.1.1", "provider=weir",
		signature_rows, NULL },
	{ "ECDSA", "provider=weir", signature_rows, NULL },
	{ "ED25519:1.3.101.112", "provider=weir", signature_rows, NULL },
	{ "ED448:1.3.101.113", "provider=weir", signature_rows, NULL },
	{ NULL, NULL, NULL, NULL },
};

/* ---- the provider ---- */

static const OSSL_ALGORITHM *
query(void *provider, int operation, int *no_cache)
{
	(void)provider;
	*no_cache = 0;
	switch (operation) {
	case OSSL_OP_KEYMGMT:
		return keys;
	case OSSL_OP_SIGNATURE:
		return signatures;
	default:
		return NULL;
	}
}

static int
init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in,
    const OSSL_DISPATCH **out, void **context)
{
	static const OSSL_DISPATCH rows[] = {
		ROW(OSSL_FUNC_PROVIDER_QUERY_OPERATION, query),
		{ 0, NULL },
	};

	(void)handle;
	(void)in;
	*out = rows;
	*context = NULL;
	return 1;
}

int
tls_keys_provider_load(struct tls_keys *k, struct error *err)
{
	k->library = OSSL_LIB_CTX_new();
	if (k->library == NULL ||
	    OSSL_PROVIDER_add_builtin(k->library, "weir", init) != 1 ||
	    (k->provider = OSSL_PROVIDER_load(k->library, "weir")) == NULL)
		return tls_verify_set_error(err, "key_isolation");
	return 0;
}

EVP_PKEY *
tls_keys_provider_key(struct tls_keys *k, EVP_PKEY *half,
    const unsigned char id[TLS_KEYS_ID])
{
	struct parts parts = { .keys = k, .half = half };
	void *at = &parts;
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_octet_ptr(PARAM_PARTS, &at,
		    sizeof(parts)),
		OSSL_PARAM_construct_end(),
	};
	EVP_PKEY_CTX *ctx;
	EVP_PKEY *key = NULL;

	memcpy(parts.id, id, sizeof(parts.id));
	ctx = EVP_PKEY_CTX_new_from_name(k->library,
	    OBJ_nid2sn(EVP_PKEY_get_base_id(half)), NULL);
	if (ctx != NULL && EVP_PKEY_fromdata_init(ctx) == 1 &&
	    EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params) != 1)
		key = NULL;
	EVP_PKEY_CTX_free(ctx);
	return key;
}
