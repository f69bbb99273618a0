/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tls_provider - what handshakes have from us rather than from OpenSSL.
 *
 * OpenSSL 3 has detours where it derives secrets (tls_kdf).  Only contexts that
 * ask for ours by its property get it; everybody else, and every other
 * function, has OpenSSL's.  Where the machine's openssl.cnf has hashes or
 * secrets made by something other than the default provider (that for FIPS
 * 140, or hardware), there is a reason for it: then ours stays out.
 */
#include "net/tls_provider.h"

#include <openssl/core_dispatch.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/provider.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "net/tls_kdf.h"

typedef void (*function)(void);

#define ROW(id, name) { id, (function)(name) }

static const OSSL_ALGORITHM *
query(void *provider, int operation, int *no_cache)
{
	(void)provider;
	*no_cache = 0;
	return operation == OSSL_OP_KDF ? tls_kdf_functions : NULL;
}

static int
init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in,
    const OSSL_DISPATCH **out, void **context)
{
	static const OSSL_DISPATCH rows[] = {
		ROW(OSSL_FUNC_PROVIDER_QUERY_OPERATION, query),
		{ 0, NULL },
	};
	static char something;

	(void)handle;
	(void)in;
	*out = rows;
	*context = &something; /* what contexts of ours have to be, too */
	return 1;
}

static bool
is_default(const OSSL_PROVIDER *provider)
{
	return strcmp(OSSL_PROVIDER_get0_name(provider), "default") == 0;
}

static bool
has_default_hash(const char *name)
{
	EVP_MD *md = EVP_MD_fetch(NULL, name, NULL);
	bool result = md != NULL && is_default(EVP_MD_get0_provider(md));

	EVP_MD_free(md);
	return result;
}

static bool
has_default_kdf(void)
{
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "TLS13-KDF", NULL);
	bool result = kdf != NULL && is_default(EVP_KDF_get0_provider(kdf));

	EVP_KDF_free(kdf);
	return result;
}

/* Whether all that ours would replace comes from the default provider. */
static bool
may_replace(void)
{
	bool result;

	ERR_set_mark();
	result = EVP_default_properties_is_fips_enabled(NULL) == 0 &&
	    has_default_hash("SHA2-256") && has_default_hash("SHA2-384") &&
	    has_default_kdf();
	ERR_pop_to_mark();
	return result;
}

const char *
tls_provider_properties(void)
{
	static OSSL_PROVIDER *provider;

	if (!may_replace())
		return NULL;
	if (provider == NULL && OSSL_PROVIDER_add_builtin(NULL,
	    TLS_PROVIDER_NAME, init) == 1)
		provider = OSSL_PROVIDER_try_load(NULL, TLS_PROVIDER_NAME, 1);
	return provider != NULL ? "?" TLS_PROVIDER_PROPERTY : NULL;
}
