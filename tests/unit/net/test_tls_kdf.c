/* SPDX-License-Identifier: BSD-2-Clause */
/* Secrets of TLS 1.3: as OpenSSL's own function derives them. */
#include "net/tls_provider.h"

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "net/tls_kdf.h"

enum { OUT_MAX = 16384, EXTRACT = EVP_KDF_HKDF_MODE_EXTRACT_ONLY,
	EXPAND = EVP_KDF_HKDF_MODE_EXPAND_ONLY };

/* Lengths, -1 = not given. */
struct wish {
	int mode;
	const char *digest;
	int key, salt;
	const char *label;
	int data;
	size_t out;
};

static const struct wish wishes[] = {
	{ EXTRACT, "SHA2-256", -1, -1, "derived", -1, 32 },
	{ EXTRACT, "SHA2-256", 32, -1, "derived", -1, 32 },
	{ EXTRACT, "SHA2-256", 32, 32, "derived", -1, 32 },
	{ EXTRACT, "SHA2-256", -1, 32, "derived", -1, 32 },
	{ EXTRACT, "SHA256", 1024, 32, "derived", -1, 32 },
	{ EXTRACT, "SHA2-384", -1, -1, "derived", -1, 48 },
	{ EXTRACT, "SHA2-384", 48, 48, "derived", -1, 48 },
	{ EXTRACT, "SHA2-384", 66, 48, "derived", -1, 48 },
	{ EXPAND, "SHA2-256", 32, -1, "key", -1, 16 },
	{ EXPAND, "SHA2-256", 32, -1, "iv", -1, 12 },
	{ EXPAND, "SHA2-256", 32, -1, "c hs traffic", 32, 32 },
	{ EXPAND, "SHA2-256", 32, -1, "exp master", 32, 33 },
	{ EXPAND, "SHA2-256", 32, -1, "", 0, 64 },
	{ EXPAND, "SHA2-256", 32, -1, "exporter", 255, 8160 },
	{ EXPAND, "SHA2-384", 48, -1, "key", -1, 32 },
	{ EXPAND, "SHA2-384", 48, -1, "s ap traffic", 48, 48 },
	{ EXPAND, "SHA2-384", 48, -1, "exporter", 48, 1000 },
	{ EXPAND, "SHA2-384", 48, -1, "exporter", 48, 12240 },
	/* Refused. */
	{ EXPAND, "SHA2-256", 32, -1, "exporter", 32, 8161 },
	{ EXPAND, "SHA2-384", 48, -1, "exporter", 32, 12241 },
	{ EXPAND, "SHA2-256", 32, -1, "exporter", 256, 32 },
	{ EXPAND, "SHA2-256", -1, -1, "exporter", 32, 32 },
	{ EXTRACT, "SHA2-256", 32, 32, "derived", -1, 48 },
	{ EVP_KDF_HKDF_MODE_EXTRACT_AND_EXPAND, "SHA2-256", 32, 32, "derived",
		32, 32 },
};

static int
derive(const char *properties, const struct wish *w, unsigned char *out)
{
	static unsigned char bytes[2048];
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "TLS13-KDF", properties);
	EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
	OSSL_PARAM params[8], *p = params;
	char digest[16], label[32], prefix[] = "tls13 ";
	int mode = w->mode, result;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)(i * 7 + 1);
	snprintf(digest, sizeof(digest), "%s", w->digest);
	snprintf(label, sizeof(label), "%s", w->label);
	*p++ = OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode);
	*p++ = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest,
	    0);
	if (w->key >= 0)
		*p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY,
		    bytes, (size_t)w->key);
	if (w->salt >= 0)
		*p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT,
		    bytes + 100, (size_t)w->salt);
	*p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PREFIX,
	    prefix, strlen(prefix));
	*p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_LABEL, label,
	    strlen(label));
	if (w->data >= 0)
		*p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_DATA,
		    bytes + 200, (size_t)w->data);
	*p = OSSL_PARAM_construct_end();
	memset(out, 0, OUT_MAX);
	result = EVP_KDF_derive(ctx, out, w->out, params);
	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
	return result;
}

static void
test_as_openssl(void **state)
{
	static unsigned char got[OUT_MAX], want[OUT_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(wishes) / sizeof(*wishes); i++) {
		int expected = derive("provider=default", &wishes[i], want);
		int result = derive(tls_provider_properties(), &wishes[i], got);

		assert_int_equal(result == 1, expected == 1);
		if (result == 1)
			assert_memory_equal(got, want, OUT_MAX);
	}
}

/* No handshake has such: refused before anything is written. */
static void
test_refused(void **state)
{
	static const struct wish odd[] = {
		{ EXPAND, "SHA2-512", 32, -1, "exporter", 32, 32 },
		{ EXPAND, "MD5", 16, -1, "exporter", 16, 16 },
		{ EXPAND, "", 32, -1, "exporter", 32, 32 },
		{ EXPAND, "SHA2-256", 65, -1, "exporter", 32, 32 },
		{ EXTRACT, "SHA2-256", 32, 65, "derived", -1, 32 },
		{ EXTRACT, "SHA2-384", 48, 48, "derived", -1, 32 },
		{ -1, "SHA2-256", 32, -1, "exporter", 32, 32 },
	};
	static unsigned char got[OUT_MAX], none[OUT_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(odd) / sizeof(*odd); i++) {
		assert_int_not_equal(derive(tls_provider_properties(),
		    &odd[i], got), 1);
		assert_memory_equal(got, none, OUT_MAX);
	}
}

/* A part that is no string of bytes, or says it has some and has none. */
static void
test_parts(void **state)
{
	static char digest[] = "SHA2-256", text[] = "tls13 ";
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "TLS13-KDF",
	    tls_provider_properties());
	EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
	unsigned char out[32];
	int mode = EXPAND;
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST,
		    digest, 0),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, text, 6),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PREFIX, text,
		    6),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_LABEL, text,
		    6),
		OSSL_PARAM_construct_end(),
	};

	(void)state;
	assert_int_equal(EVP_KDF_derive(ctx, out, sizeof(out), params), 1);
	assert_int_not_equal(EVP_KDF_derive(ctx, out, sizeof(out), NULL), 1);
	params[2].data = NULL;
	assert_int_not_equal(EVP_KDF_derive(ctx, out, sizeof(out), params), 1);
	params[2] = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_KEY, text,
	    0);
	assert_int_not_equal(EVP_KDF_derive(ctx, out, sizeof(out), params), 1);
	params[2] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, text,
	    6);
	params[1].data_type = OSSL_PARAM_UTF8_PTR;
	assert_int_not_equal(EVP_KDF_derive(ctx, out, sizeof(out), params), 1);
	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
}

/* RFC 8448, section 3: the secrets of a simple handshake. */
static void
test_vector(void **state)
{
	static const unsigned char early[] = {
		0x33, 0xad, 0x0a, 0x1c, 0x60, 0x7e, 0xc0, 0x3b,
		0x09, 0xe6, 0xcd, 0x98, 0x93, 0x68, 0x0c, 0xe2,
		0x10, 0xad, 0xf3, 0x00, 0xaa, 0x1f, 0x26, 0x60,
		0xe1, 0xb2, 0x2e, 0x10, 0xf1, 0x70, 0xf9, 0x2a,
	};
	static unsigned char got[OUT_MAX];

	(void)state;
	assert_int_equal(derive(tls_provider_properties(), &wishes[0], got), 1);
	assert_memory_equal(got, early, sizeof(early));
}

/* Whoever prefers it has it, and OpenSSL's functions for all else. */
static void
test_preferred(void **state)
{
	const char *query = tls_provider_properties();
	EVP_KDF *kdf;

	(void)state;
	assert_non_null(query);
	assert_ptr_equal(tls_provider_properties(), query);
	kdf = EVP_KDF_fetch(NULL, "TLS13-KDF", query);
	assert_non_null(kdf);
	assert_string_equal(OSSL_PROVIDER_get0_name(
	    EVP_KDF_get0_provider(kdf)), TLS_PROVIDER_NAME);
	EVP_KDF_free(kdf);
	kdf = EVP_KDF_fetch(NULL, "HKDF", query);
	assert_non_null(kdf);
	assert_string_equal(OSSL_PROVIDER_get0_name(
	    EVP_KDF_get0_provider(kdf)), "default");
	EVP_KDF_free(kdf);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_preferred),
		cmocka_unit_test(test_as_openssl),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_vector),
	};

	if (tls_kdf_functions[0].algorithm_names == NULL)
		return 77; /* OpenSSL has no hashes without EVP: skipped */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
