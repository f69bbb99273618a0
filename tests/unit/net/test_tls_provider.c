/* SPDX-License-Identifier: BSD-2-Clause */
/* When handshakes have something from us: never where OpenSSL is told else. */
#include "net/tls_provider.h"

#include <openssl/core_dispatch.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/provider.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "net/tls_kdf.h"

/* Stands for a provider of FIPS 140, as far as choosing goes. */
#define APPROVED "approved"

static OSSL_PROVIDER *approved;

static const OSSL_ALGORITHM *
query(void *provider, int operation, int *no_cache)
{
	static OSSL_ALGORITHM list[2];

	(void)provider;
	*no_cache = 0;
	list[0] = tls_kdf_functions[0];
	list[0].property_definition = "provider=" APPROVED ",fips=yes";
	return operation == OSSL_OP_KDF ? list : NULL;
}

static int
init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in,
    const OSSL_DISPATCH **out, void **context)
{
	static const OSSL_DISPATCH rows[] = {
		{ OSSL_FUNC_PROVIDER_QUERY_OPERATION, (void (*)(void))query },
		{ 0, NULL },
	};
	static char something;

	(void)handle;
	(void)in;
	*out = rows;
	*context = &something;
	return 1;
}

/* Whose TLS13-KDF one gets who asks so; "" if there is none. */
static const char *
whose(const char *properties)
{
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "TLS13-KDF", properties);
	const char *name = kdf == NULL ? ""
	    : OSSL_PROVIDER_get0_name(EVP_KDF_get0_provider(kdf));

	EVP_KDF_free(kdf);
	ERR_clear_error();
	return name;
}

/* What default_properties of openssl.cnf sets. */
static void
prefer(const char *properties)
{
	assert_int_equal(EVP_set_default_properties(NULL, properties), 1);
}

/* Approved functions are demanded, and there are none. */
static void
test_demanded(void **state)
{
	(void)state;
	prefer("fips=yes");
	assert_null(tls_provider_properties());
	assert_int_equal(ERR_peek_error(), 0);
	assert_int_equal(OSSL_PROVIDER_available(NULL, TLS_PROVIDER_NAME), 0);
}

/* There are some, which are demanded or only preferred. */
static void
test_approved(void **state)
{
	(void)state;
	assert_int_equal(OSSL_PROVIDER_add_builtin(NULL, APPROVED, init), 1);
	approved = OSSL_PROVIDER_try_load(NULL, APPROVED, 1);
	assert_non_null(approved);
	prefer("fips=yes");
	assert_string_equal(whose(NULL), APPROVED);
	assert_null(tls_provider_properties());
	prefer("?fips=yes");
	assert_string_equal(whose(NULL), APPROVED);
	assert_null(tls_provider_properties());
	assert_int_equal(OSSL_PROVIDER_available(NULL, TLS_PROVIDER_NAME), 0);
}

/* Ours; also then what is demanded wins. */
static void
test_ours(void **state)
{
	const char *properties;

	(void)state;
	prefer("provider!=" APPROVED);
	assert_string_equal(whose(NULL), "default");
	properties = tls_provider_properties();
	assert_non_null(properties);
	assert_int_equal(OSSL_PROVIDER_available(NULL, TLS_PROVIDER_NAME), 1);
	assert_string_equal(whose(properties), TLS_PROVIDER_NAME);
	prefer("fips=yes");
	assert_string_equal(whose(properties), APPROVED);
	assert_null(tls_provider_properties());
	assert_int_equal(OSSL_PROVIDER_unload(approved), 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_demanded),
		cmocka_unit_test(test_approved),
		cmocka_unit_test(test_ours),
	};

	if (tls_kdf_functions[0].algorithm_names == NULL)
		return 77; /* OpenSSL has no hashes without EVP: skipped */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
