/* SPDX-License-Identifier: BSD-2-Clause */
/* Keys of a vault, what they sign, and what is refused. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "base/error.h"
#include "signer/keyring.h"

enum { KEY_RSA, KEY_EC, KEY_ED, KEYS };

struct fixture {
	int vault;
	EVP_PKEY *keys[KEYS];
};

static const struct tls_keys_head vault_head = { TLS_KEYS_MAGIC, 0 };
static const size_t head = offsetof(struct tls_keys_request, input);

static void
put(struct fixture *f, int i)
{
	struct tls_keys_record record = { .magic = TLS_KEYS_MAGIC,
		.id = { (unsigned char)(i + 1) } };
	unsigned char *der = NULL;
	int len = i2d_PrivateKey(f->keys[i], &der);

	assert_true(len > 0);
	record.len = record.room = (uint32_t)len;
	assert_int_equal(write(f->vault, &record, sizeof(record)),
	    sizeof(record));
	assert_int_equal(write(f->vault, der, (size_t)len), len);
	OPENSSL_free(der);
}

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (f == NULL)
		return -1;
	f->vault = memfd_create("vault", MFD_CLOEXEC);
	if (write(f->vault, &vault_head, sizeof(vault_head)) !=
	    sizeof(vault_head))
		return -1;
	f->keys[KEY_RSA] = EVP_RSA_gen(2048);
	f->keys[KEY_EC] = EVP_EC_gen("P-256");
	f->keys[KEY_ED] = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < KEYS; i++)
		EVP_PKEY_free(f->keys[i]);
	close(f->vault);
	free(f);
	return 0;
}

/* A request of key i; returns its length. */
static size_t
fill(struct tls_keys_request *r, int i, enum tls_keys_scheme scheme,
    const EVP_MD *md, const char *text)
{
	unsigned len = (unsigned)strlen(text);

	memset(r, 0, sizeof(*r));
	r->sequence = 77;
	r->scheme = scheme;
	r->id[0] = (unsigned char)(i + 1);
	if (md != NULL) {
		r->digest = EVP_MD_get_type(md);
		assert_int_equal(EVP_Digest(text, len, r->input, &len, md,
		    NULL), 1);
	} else {
		memcpy(r->input, text, len);
	}
	r->len = len;
	return head + len;
}

static bool
verifies(EVP_PKEY *key, const EVP_MD *md, bool is_pss, const char *text,
    const struct tls_keys_response *response)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY_CTX *pctx = NULL;
	bool is_good;

	assert_int_equal(EVP_DigestVerifyInit(ctx, &pctx, md, NULL, key), 1);
	if (is_pss) {
		assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(pctx,
		    RSA_PKCS1_PSS_PADDING), 1);
		assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx,
		    RSA_PSS_SALTLEN_DIGEST), 1);
	}
	is_good = EVP_DigestVerify(ctx, response->signature, response->len,
	    (const unsigned char *)text, strlen(text)) == 1;
	EVP_MD_CTX_free(ctx);
	return is_good;
}

static void
test_signatures(void **state)
{
	struct fixture *f = *state;
	const struct {
		const char *name;
		int key;
		enum tls_keys_scheme scheme;
		const EVP_MD *md;
	} rows[] = {
		{ "RSA", KEY_RSA, TLS_KEYS_RSA_PKCS1, EVP_sha256() },
		{ "RSA, SHA-512", KEY_RSA, TLS_KEYS_RSA_PKCS1, EVP_sha512() },
		{ "PSS", KEY_RSA, TLS_KEYS_RSA_PSS, EVP_sha256() },
		{ "PSS, SHA-384", KEY_RSA, TLS_KEYS_RSA_PSS, EVP_sha384() },
		{ "ECDSA", KEY_EC, TLS_KEYS_ECDSA, EVP_sha256() },
		{ "Ed25519", KEY_ED, TLS_KEYS_EDWARDS, NULL },
	};
	struct tls_keys_response response;
	struct tls_keys_request request;
	struct keyring *ring;
	struct error err;

	for (int i = 0; i < KEYS; i++)
		put(f, i);
	ring = keyring_new(f->vault, &err);
	assert_non_null(ring);
	assert_int_equal(keyring_count(ring), KEYS);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		size_t len = fill(&request, rows[i].key, rows[i].scheme,
		    rows[i].md, "what is signed");

		keyring_answer(ring, &request, len, &response);
		assert_int_equal(response.sequence, 77);
		if (!verifies(f->keys[rows[i].key], rows[i].md,
		    rows[i].scheme == TLS_KEYS_RSA_PSS, "what is signed",
		    &response))
			fail_msg("%s", rows[i].name);
	}
	keyring_free(ring);
}

/* Any length, any byte of the head changed: never more than a refusal. */
static void
test_what_is_refused(void **state)
{
	struct fixture *f = *state;
	struct tls_keys_response response;
	struct tls_keys_request request;
	struct keyring *ring;
	struct error err;
	size_t len;

	put(f, KEY_RSA);
	put(f, KEY_EC);
	ring = keyring_new(f->vault, &err);
	assert_non_null(ring);
	len = fill(&request, KEY_EC, TLS_KEYS_ECDSA, EVP_sha256(), "x");
	for (size_t n = 0; n <= sizeof(request); n++) {
		keyring_answer(ring, &request, n, &response);
		assert_int_equal(response.len != 0, n == len);
	}
	for (size_t at = sizeof(request.sequence); at < head; at++) {
		for (unsigned value = 1; value < 256; value++) {
			unsigned char *byte = (unsigned char *)&request + at;

			*byte ^= (unsigned char)value;
			keyring_answer(ring, &request, len, &response);
			/* Other digests have other lengths, or other names. */
			if (response.len != 0)
				assert_true(at >= offsetof(
				    struct tls_keys_request, digest) &&
				    at < offsetof(struct tls_keys_request,
				    len));
			*byte ^= (unsigned char)value;
		}
	}
	/* No key does what is not its own; none decrypts or signs as it is. */
	len = fill(&request, KEY_RSA, TLS_KEYS_ECDSA, EVP_sha256(), "x");
	keyring_answer(ring, &request, len, &response);
	assert_int_equal(response.len, 0);
	len = fill(&request, KEY_RSA, TLS_KEYS_RSA_PKCS1, NULL, "not a digest");
	keyring_answer(ring, &request, len, &response);
	assert_int_equal(response.len, 0);
	keyring_free(ring);
}

static void
test_later_keys(void **state)
{
	struct fixture *f = *state;
	struct tls_keys_response response;
	struct tls_keys_request request;
	struct error err;
	struct keyring *ring;
	size_t len = fill(&request, KEY_EC, TLS_KEYS_ECDSA, EVP_sha256(),
	    "x");

	put(f, KEY_RSA);
	ring = keyring_new(f->vault, &err);
	assert_non_null(ring);
	keyring_answer(ring, &request, len, &response);
	assert_int_equal(response.len, 0);
	put(f, KEY_EC);
	keyring_answer(ring, &request, len, &response);
	assert_true(response.len > 0);
	assert_int_equal(keyring_count(ring), 2);
	keyring_free(ring);
}

static void
test_broken_vault(void **state)
{
	struct fixture *f = *state;
	struct tls_keys_record record = { .magic = TLS_KEYS_MAGIC,
		.len = 40, .room = 40, .id = { 9 } };
	struct error err;
	struct keyring *ring;

	ring = keyring_new(f->vault, &err); /* empty is fine */
	assert_non_null(ring);
	keyring_free(ring);
	put(f, KEY_EC);
	assert_int_equal(write(f->vault, &record, sizeof(record)),
	    sizeof(record));
	assert_null(keyring_new(f->vault, &err));
	/* A head that is not whole is a record that is being written. */
	assert_int_equal(ftruncate(f->vault, lseek(f->vault, 0, SEEK_CUR) -
	    4), 0);
	ring = keyring_new(f->vault, &err);
	assert_non_null(ring);
	assert_int_equal(keyring_count(ring), 1);
	keyring_free(ring);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_signatures, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_what_is_refused, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_later_keys, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_broken_vault, setup,
		    teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
