/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The vault over many changes of certificates: a key that stays is kept once,
 * one that goes makes room for another, and who still needs it has it.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "net/tls_keys.h"
#include "net/tls_private.h"
#include "signer/keyring.h"

struct fixture {
	struct tls_keys *keys;
	struct keyring *ring;
	char path[32];
	struct tls_pair_conf conf;
	uint64_t now_ms;
};

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct error err;
	int fd;

	if (f == NULL)
		return -1;
	strcpy(f->path, "/tmp/weir-keys-XXXXXX");
	fd = mkstemp(f->path);
	close(fd);
	f->conf.cert = f->conf.key = f->path;
	f->now_ms = 1000;
	f->keys = tls_keys_new(&err);
	if (f->keys == NULL)
		return -1;
	f->ring = keyring_new(tls_keys_vault_fd(f->keys), &err);
	*state = f;
	return f->ring != NULL ? 0 : -1;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	keyring_free(f->ring);
	tls_keys_free(f->keys);
	unlink(f->path);
	free(f);
	return 0;
}

static EVP_PKEY *
make_key(bool is_rsa)
{
	EVP_PKEY *key = is_rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");

	assert_non_null(key);
	return key;
}

static void
write_key(const struct fixture *f, EVP_PKEY *key)
{
	BIO *bio = BIO_new_file(f->path, "w");

	assert_int_equal(PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0,
	    NULL, NULL), 1);
	BIO_free(bio);
}

/* Read a pair of that key, whose file is there; former: what it replaces. */
static int
isolate(struct fixture *f, EVP_PKEY *key, const struct tls_pair *former,
    struct tls_pair *pair, struct error *err)
{
	int result;

	*pair = (struct tls_pair){ .conf = &f->conf, .cert = X509_new() };
	assert_int_equal(X509_set_pubkey(pair->cert, key), 1);
	tls_keys_expect(f->keys, former);
	result = tls_keys_isolate(pair, f->keys, err);
	tls_keys_expect(f->keys, NULL);
	return result;
}

static void
add(struct fixture *f, bool is_rsa, struct tls_pair *pair)
{
	EVP_PKEY *key = make_key(is_rsa);
	struct error err;

	write_key(f, key);
	assert_int_equal(isolate(f, key, NULL, pair, &err), 0);
	EVP_PKEY_free(key);
}

static long
vault_bytes(const struct fixture *f)
{
	struct stat st;

	assert_int_equal(fstat(tls_keys_vault_fd(f->keys), &st), 0);
	return (long)st.st_size;
}

static bool
signs(struct keyring *ring, const struct tls_pair *pair)
{
	const size_t head = offsetof(struct tls_keys_request, input);
	struct tls_keys_request request = { .len = 32,
		.digest = EVP_MD_get_type(EVP_sha256()),
		.scheme = pair->kind == TLS_KEY_RSA ? TLS_KEYS_RSA_PSS
						    : TLS_KEYS_ECDSA };
	struct tls_keys_response response;

	memcpy(request.id, pair->key_id, sizeof(request.id));
	keyring_answer(ring, &request, head + request.len, &response);
	return response.len > 0;
}

/* Only the certificate is another: renewed with its key. */
static void
test_same_key(void **state)
{
	struct fixture *f = *state;
	EVP_PKEY *key = make_key(false), *other = make_key(false);
	struct tls_pair pair, again;
	struct error err;
	long before;

	write_key(f, key);
	assert_int_equal(isolate(f, key, NULL, &pair, &err), 0);
	before = vault_bytes(f);
	for (int i = 0; i < 10; i++) {
		assert_int_equal(isolate(f, key, &pair, &again, &err), 0);
		assert_memory_equal(again.key_id, pair.key_id, TLS_KEYS_ID);
		tls_cert_fini(&again);
	}
	/* What is in the file now is not the certificate's. */
	write_key(f, other);
	assert_int_equal(isolate(f, key, &pair, &again, &err), -1);
	assert_string_equal(err.text, "the key is not the certificate's");
	tls_cert_fini(&again);
	assert_int_equal(vault_bytes(f), before);
	assert_int_equal(tls_keys_count(f->keys), 1);
	assert_true(signs(f->ring, &pair));
	/* Another key is another one. */
	assert_int_equal(isolate(f, other, &pair, &again, &err), 0);
	assert_memory_not_equal(again.key_id, pair.key_id, TLS_KEYS_ID);
	tls_cert_fini(&again);
	tls_cert_fini(&pair);
	EVP_PKEY_free(key);
	EVP_PKEY_free(other);
}

static void
test_changes_without_end(void **state)
{
	struct fixture *f = *state;
	struct tls_pair pair, next;
	struct keyring *late;
	struct error err;
	long before = 0;

	add(f, false, &pair);
	for (int i = 0; i < 30; i++) {
		add(f, false, &next);
		tls_keys_vault_retire(f->keys, pair.key_id, f->now_ms);
		/* Handshakes of before are still under way. */
		f->now_ms += TLS_KEYS_RETIRED_MS - 1;
		assert_false(tls_keys_vault_release(f->keys, f->now_ms));
		assert_true(signs(f->ring, &pair));
		assert_true(signs(f->ring, &next));
		f->now_ms++;
		assert_true(tls_keys_vault_release(f->keys, f->now_ms));
		assert_int_equal(keyring_refresh(f->ring), 0);
		assert_false(signs(f->ring, &pair));
		assert_true(signs(f->ring, &next));
		assert_int_equal(keyring_count(f->ring), 1);
		tls_cert_fini(&pair);
		pair = next;
		if (i == 1)
			before = vault_bytes(f);
	}
	assert_int_equal(vault_bytes(f), before);
	assert_int_equal(tls_keys_count(f->keys), 1);
	/* A signer that starts now. */
	late = keyring_new(tls_keys_vault_fd(f->keys), &err);
	assert_non_null(late);
	assert_int_equal(keyring_count(late), 1);
	assert_true(signs(late, &pair));
	keyring_free(late);
	tls_cert_fini(&pair);
}

/* Where it was told nothing: a name that it does not know makes it look. */
static void
test_reused_unseen(void **state)
{
	struct fixture *f = *state;
	struct tls_pair first, second, third;

	add(f, false, &first);
	add(f, false, &second);
	assert_true(signs(f->ring, &first) && signs(f->ring, &second));
	tls_keys_vault_retire(f->keys, first.key_id, f->now_ms);
	assert_true(tls_keys_vault_release(f->keys, f->now_ms +
	    TLS_KEYS_RETIRED_MS));
	add(f, false, &third);
	assert_true(signs(f->ring, &third) && signs(f->ring, &second));
	assert_false(signs(f->ring, &first));
	assert_int_equal(keyring_count(f->ring), 2);
	tls_cert_fini(&first);
	tls_cert_fini(&second);
	tls_cert_fini(&third);
}

static void
test_room(void **state)
{
	struct fixture *f = *state;
	struct tls_pair small, large, next;
	long before;

	add(f, false, &small);
	tls_keys_vault_retire(f->keys, small.key_id, f->now_ms);
	assert_true(tls_keys_vault_release(f->keys, f->now_ms +
	    TLS_KEYS_RETIRED_MS));
	before = vault_bytes(f);
	/* It does not fit there. */
	add(f, true, &large);
	assert_true(vault_bytes(f) > before + 1024);
	before = vault_bytes(f);
	add(f, false, &next);
	assert_int_equal(vault_bytes(f), before);
	assert_true(signs(f->ring, &large) && signs(f->ring, &next));
	tls_cert_fini(&small);
	tls_cert_fini(&large);
	tls_cert_fini(&next);
}

static void
test_held(void **state)
{
	struct fixture *f = *state;
	struct tls_pair pair;

	add(f, false, &pair);
	tls_keys_vault_retire(f->keys, pair.key_id, f->now_ms);
	/* As long as some process uses it. */
	for (int i = 0; i < 5; i++) {
		f->now_ms += TLS_KEYS_RETIRED_MS;
		tls_keys_vault_hold(f->keys, f->now_ms);
		assert_false(tls_keys_vault_release(f->keys, f->now_ms));
	}
	assert_true(signs(f->ring, &pair));
	assert_true(tls_keys_vault_release(f->keys, f->now_ms +
	    TLS_KEYS_RETIRED_MS));
	tls_cert_fini(&pair);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_same_key),
		T(test_changes_without_end),
		T(test_reused_unseen),
		T(test_room),
		T(test_held),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
