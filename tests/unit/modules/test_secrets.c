/* SPDX-License-Identifier: BSD-2-Clause */
/* Module auth: tables of keys and users, and verdicts that are remembered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../../../modules/auth/htpasswd.h"
#include "../../../modules/auth/keys.h"
#include "../../../modules/auth/verdicts.h"

#define HASH "$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ/"
#define OTHER "$apr1$abcdefgh$G8IsPsylW5ROvIKsQMRG61"

/* The hash of key number n, spread as real ones are. */
static void
make_hash(uint64_t n, uint8_t hash[DIGEST_SHA256_BYTES])
{
	memset(hash, 0, DIGEST_SHA256_BYTES);
	memcpy(hash, &n, sizeof(n));
	hash[31] = (uint8_t)(n >> 3);
}

static void
keys_are_found_among_many(void **state)
{
	enum { COUNT = 20000, LINE_MAX_BYTES = 128 };
	char *memory = malloc(COUNT * LINE_MAX_BYTES);
	struct keyfile_entry e = { .expires_s = 0 };
	const struct keyfile_entry *found;
	struct error err;
	struct keys *k;
	struct str out;

	(void)state;
	str_init(&out, memory, COUNT * LINE_MAX_BYTES);
	for (uint64_t i = 0; i < COUNT; i++) {
		char name[32];
		struct str s;

		str_init(&s, name, sizeof(name));
		str_printf(&s, "user%llu", (unsigned long long)i);
		e.identity = str_view(&s);
		make_hash(i, e.hash);
		keyfile_put(&out, &e);
	}
	k = keys_parse(str_view(&out), NULL, &err);
	assert_non_null(k);
	free(memory); /* nothing of the text is kept */
	assert_int_equal(k->count, COUNT);
	for (uint64_t i = 0; i < COUNT; i += 7) {
		uint8_t hash[DIGEST_SHA256_BYTES];
		char name[32];

		make_hash(i, hash);
		found = keys_find(k, hash);
		snprintf(name, sizeof(name), "user%llu",
		    (unsigned long long)i);
		assert_non_null(found);
		assert_true(span_eq(found->identity, span_cstr(name)));
		/* The same place in the table, another key. */
		hash[20] ^= 1;
		assert_null(keys_find(k, hash));
	}
	keys_free(k);
	keys_free(NULL);
}

static void
faults_of_keys_have_a_place(void **state)
{
	static const struct { const char *text, *want; } cases[] = {
		{ "al", "line 1, column 1: behind the identity" },
		{ "\n# x\nal sha256:1", "line 3, column 4: a key's hash" },
		{ "al sha256:"
		    "00000000000000000000000000000000"
		    "00000000000000000000000000000000\n"
		    "bo sha256:"
		    "00000000000000000000000000000000"
		    "00000000000000000000000000000000\n",
		    "line 2: this key is there already" },
	};
	struct arena arena;
	struct error err;

	(void)state;
	arena_init(&arena, NULL);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		assert_null(keys_parse(span_cstr(cases[i].text), NULL, &err));
		assert_int_equal(strncmp(err.text, cases[i].want,
		    strlen(cases[i].want)), 0);
		assert_null(keys_parse(span_cstr(cases[i].text), &arena,
		    &err));
	}
	arena_fini(&arena);
}

static void
an_empty_file_has_nobody(void **state)
{
	uint8_t hash[DIGEST_SHA256_BYTES] = { 0 };
	struct error err;
	struct keys *k = keys_parse(SPAN(""), NULL, &err);
	struct htpasswd *h = htpasswd_parse(SPAN("# none\n"), NULL, &err);
	bool is_known = true;

	(void)state;
	assert_null(keys_find(k, hash));
	assert_null(htpasswd_find(h, SPAN("al"), &is_known));
	assert_false(is_known);
	keys_free(k);
	htpasswd_free(h);
}

static void
users_are_found(void **state)
{
	static const char text[] = "# users\n\nal:" HASH "\r\nzo\xc3\xab:" HASH
	    ":Zo\xc3\xab:x\n b o :" OTHER;
	struct error err;
	struct htpasswd *h = htpasswd_parse(span_cstr(text), NULL, &err);
	const struct htpasswd_user *user, *again;
	bool is_known;

	(void)state;
	assert_non_null(h);
	assert_int_equal(h->count, 3);
	user = htpasswd_find(h, SPAN("al"), &is_known);
	assert_true(is_known);
	assert_string_equal(user->hash, HASH);
	user = htpasswd_find(h, SPAN(" b o "), &is_known);
	assert_true(is_known);
	assert_string_equal(user->hash, OTHER);
	user = htpasswd_find(h, SPAN("zo\xc3\xab"), &is_known);
	assert_true(is_known);
	assert_string_equal(user->hash, HASH);
	/* Nobody, but always the same one's hash. */
	user = htpasswd_find(h, SPAN("AL"), &is_known);
	assert_false(is_known);
	assert_non_null(user);
	again = htpasswd_find(h, SPAN("AL"), &is_known);
	assert_ptr_equal(user, again);
	htpasswd_free(h);
}

static void
faults_of_users_have_a_place(void **state)
{
	static const struct { const char *text, *want; } cases[] = {
		{ "al", "line 1, column 1: a line is a user's name" },
		{ "\n:" HASH, "line 2, column 1: a user's name is made" },
		{ "a\x01l:" HASH, "line 1, column 1: a user's name is made" },
		{ "al:", "line 1, column 4: this is none of the hashes" },
		{ "al:secret", "line 1, column 4: this is none of the hashes" },
		{ "al: " HASH, "line 1, column 4: this is none of the hashes" },
		{ "al:" HASH " ", "line 1, column 4: the hash is not whole" },
		{ "al:" HASH "\nal:" OTHER, "line 2, column 1: this user is" },
	};
	struct error err;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		assert_null(htpasswd_parse(span_cstr(cases[i].text), NULL,
		    &err));
		if (strncmp(err.text, cases[i].want,
		    strlen(cases[i].want)) != 0)
			fail_msg("%s", err.text);
		assert_null(strstr(err.text, "secret"));
	}
}

static void
verdicts_last_and_give_way(void **state)
{
	struct verdicts *v = calloc(1, sizeof(*v));
	uint8_t digest[DIGEST_SHA256_BYTES] = { 7 };
	bool is_right = false;

	(void)state;
	assert_false(verdicts_get(v, digest, 1, &is_right));
	verdicts_put(v, digest, 100, true);
	assert_true(verdicts_get(v, digest, 99, &is_right));
	assert_true(is_right);
	assert_false(verdicts_get(v, digest, 100, &is_right));
	/* The same again is in its place, not beside it. */
	verdicts_put(v, digest, 300, false);
	assert_true(verdicts_get(v, digest, 200, &is_right));
	assert_false(is_right);
	/* As many as a set has, and one: the one that ends first goes. */
	for (unsigned i = 1; i <= VERDICTS_WAYS; i++) {
		digest[31] = (uint8_t)i;
		verdicts_put(v, digest, 300 + i, true);
	}
	digest[31] = 0;
	assert_false(verdicts_get(v, digest, 200, &is_right));
	for (unsigned i = 1; i <= VERDICTS_WAYS; i++) {
		digest[31] = (uint8_t)i;
		assert_true(verdicts_get(v, digest, 200, &is_right));
		digest[15] = 1; /* another one of that set */
		assert_false(verdicts_get(v, digest, 200, &is_right));
		digest[15] = 0;
	}
	free(v);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_are_found_among_many),
		cmocka_unit_test(faults_of_keys_have_a_place),
		cmocka_unit_test(an_empty_file_has_nobody),
		cmocka_unit_test(users_are_found),
		cmocka_unit_test(faults_of_users_have_a_place),
		cmocka_unit_test(verdicts_last_and_give_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
