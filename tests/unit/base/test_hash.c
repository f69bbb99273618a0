/* SPDX-License-Identifier: BSD-2-Clause */
/* The map from bytes to pointers, and the hashes. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/entropy.h"
#include "base/hash.h"

enum { KEYS = 2000 };

static char names[KEYS][16];

static struct span
key(unsigned i)
{
	snprintf(names[i], sizeof(names[i]), "key-%u", i);
	return span_cstr(names[i]);
}

static void
test_small(void **state)
{
	struct hash_map m;
	int a = 1, b = 2;

	(void)state;
	hash_map_init(&m, false);
	assert_null(hash_map_get(&m, SPAN("x")));
	assert_null(hash_map_remove(&m, SPAN("x")));
	assert_null(hash_map_put(&m, SPAN("x"), &a));
	assert_null(hash_map_put(&m, SPAN(""), &b));
	assert_ptr_equal(hash_map_get(&m, SPAN("x")), &a);
	assert_ptr_equal(hash_map_get(&m, span_of(NULL, 0)), &b);
	assert_null(hash_map_get(&m, SPAN("X")));
	assert_ptr_equal(hash_map_put(&m, SPAN("x"), &b), &a);
	assert_int_equal(m.used, 2);
	assert_ptr_equal(hash_map_remove(&m, SPAN("x")), &b);
	assert_null(hash_map_get(&m, SPAN("x")));
	assert_null(hash_map_remove(&m, SPAN("x")));
	hash_map_fini(&m);
}

static void
test_ignore_case(void **state)
{
	static const struct {
		const char *put, *get;
		bool same;
	} rows[] = {
		{ "Host", "hOST", true },
		{ "X-Forwarded-For", "x-forwarded-for", true },
		{ "abcdefghIJKLMNOP", "ABCDEFGHijklmnop", true },
		{ "a@b", "a`b", false },   /* 0x40 and 0x60 */
		{ "a[b", "a{b", false },    /* 0x5b and 0x7b */
		{ "\xc0", "\xe0", false },  /* no letters of ASCII */
		{ "\xc1zzzzzzz", "\xe1zzzzzzz", false },
	};
	int value;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct hash_map m;
		struct span get = span_cstr(rows[i].get);
		struct span put = span_cstr(rows[i].put);

		hash_map_init(&m, true);
		hash_map_put(&m, put, &value);
		if ((hash_map_get(&m, get) != NULL) != rows[i].same ||
		    (hash_bytes_i(get) == hash_bytes_i(put)) != rows[i].same)
			fail_msg("%s and %s", rows[i].put, rows[i].get);
		assert_true(hash_bytes(get) != hash_bytes(put));
		hash_map_fini(&m);
	}
}

/* Random puts and removals against a plain array. */
static void
test_random(void **state)
{
	static int values[KEYS];
	static bool is_in[KEYS];
	struct hash_map m;
	size_t used = 0;

	(void)state;
	entropy_seed(3);
	hash_map_init(&m, false);
	for (unsigned round = 0; round < 60000; round++) {
		unsigned i = (unsigned)(entropy_fast() % KEYS);
		/* Grow, then shrink, so that chains of every length occur. */
		bool put = entropy_fast() % 10 < (round < 30000 ? 7U : 2U);
		void *before = put ? hash_map_put(&m, key(i), &values[i])
				   : hash_map_remove(&m, key(i));

		assert_ptr_equal(before, is_in[i] ? &values[i] : NULL);
		used = used + put - (before != NULL);
		is_in[i] = put;
		assert_int_equal(m.used, used);
		i = (unsigned)(entropy_fast() % KEYS);
		assert_ptr_equal(hash_map_get(&m, key(i)),
		    is_in[i] ? &values[i] : NULL);
	}
	for (unsigned i = 0; i < KEYS; i++)
		assert_ptr_equal(hash_map_get(&m, key(i)),
		    is_in[i] ? &values[i] : NULL);
	assert_true(m.used * 4 <= m.size * 3);
	hash_map_fini(&m);
}

/* Removal where the chain runs over the end of the table. */
static void
test_remove_wraps(void **state)
{
	struct hash_map m;
	static int values[KEYS];

	(void)state;
	for (unsigned first = 0; first + 12 <= KEYS; first += 12) {
		hash_map_init(&m, false);
		for (unsigned i = first; i < first + 12; i++)
			hash_map_put(&m, key(i), &values[i]);
		assert_int_equal(m.size, 16);
		for (unsigned gone = first; gone < first + 12; gone++) {
			assert_ptr_equal(hash_map_remove(&m, key(gone)),
			    &values[gone]);
			for (unsigned i = gone + 1; i < first + 12; i++)
				assert_ptr_equal(hash_map_get(&m, key(i)),
				    &values[i]);
		}
		hash_map_fini(&m);
	}
}

static void
test_stable(void **state)
{
	(void)state;
	/* The published vectors of FNV-1a, 64 bits. */
	assert_true(hash_stable(SPAN("")) == 0xcbf29ce484222325U);
	assert_true(hash_stable(SPAN("a")) == 0xaf63dc4c8601ec8cU);
	assert_true(hash_stable(SPAN("foobar")) == 0x85944171f73967e8U);
}

/* Every byte counts, also the last of each length. */
static void
test_every_byte(void **state)
{
	char bytes[40] = { 0 };

	(void)state;
	for (size_t len = 1; len <= sizeof(bytes); len++) {
		for (size_t i = 0; i < len; i++) {
			uint64_t before = hash_bytes(span_of(bytes, len));

			bytes[i] = 1;
			assert_true(hash_bytes(span_of(bytes, len)) != before);
			bytes[i] = 0;
			assert_true(hash_bytes(span_of(bytes, len)) == before);
		}
		assert_true(hash_bytes(span_of(bytes, len)) !=
		    hash_bytes(span_of(bytes, len - 1)));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_small),
		cmocka_unit_test(test_ignore_case),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_remove_wraps),
		cmocka_unit_test(test_stable),
		cmocka_unit_test(test_every_byte),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
