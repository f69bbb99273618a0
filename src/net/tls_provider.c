/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tls_provider - what handshakes have from us rather than from OpenSSL.
 *
 * OpenSSL 3 has detours where it derives secrets (tls_kdf) and slow arithmetic
 * where it makes pairs for X25519 (tls_exchange).  Only contexts that ask for
 * ours by its property get it; everybody else, and every other function, has
 * OpenSSL's.
 */
#include "net/tls_provider.h"

#include <openssl/core_dispatch.h>
#include <openssl/provider.h>
#include <stdbool.h>
#include <stddef.h>
#include <strings.h>

#include "net/tls_exchange.h"
#include "net/tls_kdf.h"

typedef void (*function)(void);

#define ROW(id, name) { id, (function)(name) }

/* Of the process, as OpenSSL's library context is. */
static bool has_exchange;

static const OSSL_ALGORITHM *
query(void *provider, int operation, int *no_cache)
{
	(void)provider;
	*no_cache = 0;
	switch (operation) {
	case OSSL_OP_KDF:
		return tls_kdf_functions;
	case OSSL_OP_KEYMGMT:
		return has_exchange ? tls_exchange_keys : NULL;
	case OSSL_OP_KEYEXCH:
		return has_exchange ? tls_exchange_exchanges : NULL;
	default:
		return NULL;
	}
}

static int
capabilities(void *provider, const char *name, OSSL_CALLBACK *callback,
    void *arg)
{
	(void)provider;
	return has_exchange && strcasecmp(name, "TLS-GROUP") == 0
	    ? tls_exchange_group(callback, arg) : 1;
}

static int
init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in,
    const OSSL_DISPATCH **out, void **context)
{
	static const OSSL_DISPATCH rows[] = {
		ROW(OSSL_FUNC_PROVIDER_QUERY_OPERATION, query),
		ROW(OSSL_FUNC_PROVIDER_GET_CAPABILITIES, capabilities),
		{ 0, NULL },
	};
	static char something;

	(void)handle;
	(void)in;
	*out = rows;
	*context = &something; /* what contexts of ours have to be, too */
	return 1;
}

const char *
tls_provider_properties(void)
{
	static OSSL_PROVIDER *provider;

	if (provider == NULL) {
		has_exchange = tls_exchange_init();
		if (OSSL_PROVIDER_add_builtin(NULL, TLS_PROVIDER_NAME,
		    init) == 1)
			provider = OSSL_PROVIDER_try_load(NULL,
			    TLS_PROVIDER_NAME, 1);
	}
	return provider != NULL ? "?" TLS_PROVIDER_PROPERTY : NULL;
}
