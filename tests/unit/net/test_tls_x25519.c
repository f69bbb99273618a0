/* SPDX-License-Identifier: BSD-2-Clause */
/* Public keys of X25519: those of RFC 7748, and the same as OpenSSL's. */
#include "net/tls_x25519.h"

#include <openssl/evp.h>
#include <openssl/provider.h>
#include <openssl/rand.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "net/tls_provider.h"

enum { RANDOM_KEYS = 500 };

/* RFC 7748, section 6.1. */
static void
test_vectors(void **state)
{
	static const struct {
		unsigned char secret[32], public[32];
	} rows[] = {
		{ { 0x77, 0x07, 0x6d, 0x0a, 0x73, 0x18, 0xa5, 0x7d,
		    0x3c, 0x16, 0xc1, 0x72, 0x51, 0xb2, 0x66, 0x45,
		    0xdf, 0x4c, 0x2f, 0x87, 0xeb, 0xc0, 0x99, 0x2a,
		    0xb1, 0x77, 0xfb, 0xa5, 0x1d, 0xb9, 0x2c, 0x2a },
		  { 0x85, 0x20, 0xf0, 0x09, 0x89, 0x30, 0xa7, 0x54,
		    0x74, 0x8b, 0x7d, 0xdc, 0xb4, 0x3e, 0xf7, 0x5a,
		    0x0d, 0xbf, 0x3a, 0x0d, 0x26, 0x38, 0x1a, 0xf4,
		    0xeb, 0xa4, 0xa9, 0x8e, 0xaa, 0x9b, 0x4e, 0x6a } },
		{ { 0x5d, 0xab, 0x08, 0x7e, 0x62, 0x4a, 0x8a, 0x4b,
		    0x79, 0xe1, 0x7f, 0x8b, 0x83, 0x80, 0x0e, 0xe6,
		    0x6f, 0x3b, 0xb1, 0x29, 0x26, 0x18, 0xb6, 0xfd,
		    0x1c, 0x2f, 0x8b, 0x27, 0xff, 0x88, 0xe0, 0xeb },
		  { 0xde, 0x9e, 0xdb, 0x7d, 0x7b, 0x7d, 0xc1, 0xb4,
		    0xd3, 0x5b, 0x61, 0xc2, 0xec, 0xe4, 0x35, 0x37,
		    0x3f, 0x83, 0x43, 0xc8, 0x5b, 0x78, 0x67, 0x4d,
		    0xad, 0xfc, 0x7e, 0x14, 0x6f, 0x88, 0x2b, 0x4f } },
	};
	unsigned char got[32];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		tls_x25519_public(got, rows[i].secret);
		assert_memory_equal(got, rows[i].public, sizeof(got));
	}
}

static void
compare(const unsigned char *secret)
{
	EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL,
	    secret, 32);
	unsigned char want[32], got[32];
	size_t len = sizeof(want);

	assert_int_equal(EVP_PKEY_get_raw_public_key(key, want, &len), 1);
	EVP_PKEY_free(key);
	tls_x25519_public(got, secret);
	assert_memory_equal(got, want, sizeof(got));
}

/* All bytes alike: every digit of the table at every place; and at random. */
static void
test_as_openssl(void **state)
{
	unsigned char secret[32];

	(void)state;
	for (int byte = 0; byte < 256; byte++) {
		memset(secret, byte, sizeof(secret));
		compare(secret);
	}
	for (int bit = 0; bit < 256; bit++) {
		memset(secret, 0, sizeof(secret));
		secret[bit / 8] = (unsigned char)(1 << (bit % 8));
		compare(secret);
	}
	for (int i = 0; i < RANDOM_KEYS; i++) {
		assert_int_equal(RAND_bytes(secret, sizeof(secret)), 1);
		compare(secret);
	}
}

static EVP_PKEY *
generate(const char *properties)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "X25519",
	    properties);
	EVP_PKEY *key = NULL;

	assert_int_equal(EVP_PKEY_keygen_init(ctx), 1);
	assert_int_equal(EVP_PKEY_CTX_set_group_name(ctx, "X25519"), 1);
	assert_int_equal(EVP_PKEY_keygen(ctx, &key), 1);
	EVP_PKEY_CTX_free(ctx);
	return key;
}

/* As handshakes do: what the other side sent becomes a key of the same kind. */
static void
derive(EVP_PKEY *own, EVP_PKEY *other, const char *properties,
    unsigned char *secret)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, own, properties);
	EVP_PKEY *peer = EVP_PKEY_new();
	unsigned char *sent = NULL;
	size_t len = EVP_PKEY_get1_encoded_public_key(other, &sent);

	assert_int_equal(len, 32);
	assert_int_equal(EVP_PKEY_copy_parameters(peer, own), 1);
	assert_int_equal(EVP_PKEY_set1_encoded_public_key(peer, sent, len),
	    1);
	assert_int_equal(EVP_PKEY_derive_init(ctx), 1);
	assert_int_equal(EVP_PKEY_derive_set_peer(ctx, peer), 1);
	assert_int_equal(EVP_PKEY_derive(ctx, secret, &len), 1);
	assert_int_equal(len, 32);
	OPENSSL_free(sent);
	EVP_PKEY_free(peer);
	EVP_PKEY_CTX_free(ctx);
}

static void
test_exchange(void **state)
{
	const char *query = tls_provider_properties();
	EVP_PKEY *ours = generate(query), *theirs = generate(NULL);
	EVP_PKEY *another = generate(query);
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "X25519", query);
	unsigned char a[32], b[32];

	(void)state;
	assert_string_equal(OSSL_PROVIDER_get0_name(
	    EVP_PKEY_get0_provider(ours)), TLS_PROVIDER_NAME);
	assert_string_equal(OSSL_PROVIDER_get0_name(
	    EVP_PKEY_get0_provider(theirs)), "default");
	derive(ours, theirs, query, a);
	derive(theirs, ours, NULL, b);
	assert_memory_equal(a, b, sizeof(a));
	derive(ours, another, query, a);
	derive(another, ours, query, b);
	assert_memory_equal(a, b, sizeof(a));
	derive(ours, theirs, query, b);
	assert_memory_not_equal(a, b, sizeof(a));
	assert_int_equal(EVP_PKEY_keygen_init(ctx), 1);
	assert_int_not_equal(EVP_PKEY_CTX_set_group_name(ctx, "X448"), 1);
	EVP_PKEY_CTX_free(ctx);
	EVP_PKEY_free(ours);
	EVP_PKEY_free(theirs);
	EVP_PKEY_free(another);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_as_openssl),
		cmocka_unit_test(test_exchange),
	};

	if (!tls_x25519_init())
		return 77; /* no integers of 128 bits: skipped */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
