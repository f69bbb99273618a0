/* SPDX-License-Identifier: BSD-2-Clause */
/* Arenas: alignment, large pieces, and the cache between arenas. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/entropy.h"

static void
test_pieces(void **state)
{
	static const size_t sizes[] = { 0, 1, 7, 8, 9, 100, 2000, 2048, 4000,
		4064, 4072, 4096, 5000, 100000 };
	enum { COUNT = 600 };
	struct arena a;
	unsigned char *pieces[COUNT];
	size_t lens[COUNT];

	(void)state;
	entropy_seed(1);
	arena_init(&a, NULL);
	for (unsigned i = 0; i < COUNT; i++) {
		lens[i] = sizes[entropy_fast() %
		    (sizeof(sizes) / sizeof(*sizes))];
		pieces[i] = arena_alloc(&a, lens[i]);
		assert_non_null(pieces[i]);
		assert_int_equal((uintptr_t)pieces[i] % 8, 0);
		memset(pieces[i], (int)(i & 0xff), lens[i]);
	}
	/* None lies over another. */
	for (unsigned i = 0; i < COUNT; i++) {
		for (size_t j = 0; j < lens[i]; j++)
			assert_int_equal(pieces[i][j], i & 0xff);
	}
	arena_fini(&a);
}

static void
test_zero_bytes(void **state)
{
	struct arena a;

	(void)state;
	arena_init(&a, NULL);
	assert_non_null(arena_alloc(&a, 0));
	arena_fini(&a);
	arena_init(&a, NULL);
	assert_non_null(arena_zalloc(&a, 0));
	arena_fini(&a);
}

/* A large piece must not cost the rest of the chunk before it. */
static void
test_large_keeps_chunk(void **state)
{
	struct arena a;
	char *first, *second;

	(void)state;
	arena_init(&a, NULL);
	first = arena_alloc(&a, 16);
	arena_alloc(&a, 100000);
	second = arena_alloc(&a, 16);
	assert_ptr_equal(second, first + 16);
	arena_fini(&a);
}

static void
test_cache(void **state)
{
	struct arena_cache cache = { .spare_max = 2 };
	struct arena a;
	void *first;

	(void)state;
	arena_init(&a, &cache);
	first = arena_alloc(&a, 100);
	arena_fini(&a);
	assert_int_equal(cache.spare_count, 1);
	arena_init(&a, &cache);
	assert_ptr_equal(arena_alloc(&a, 100), first);
	assert_int_equal(cache.spare_count, 0);
	for (unsigned i = 0; i < 5; i++)
		arena_alloc(&a, 2000);
	arena_alloc(&a, 50000);
	arena_fini(&a);
	assert_int_equal(cache.spare_count, 2);
	arena_cache_fini(&cache);
	assert_int_equal(cache.spare_count, 0);
	/* An arena that was given back may be used again. */
	memset(arena_alloc(&a, 10), 1, 10);
	arena_fini(&a);
	arena_cache_fini(&cache);
}

static void
test_copies(void **state)
{
	struct arena a;
	unsigned char *zeros;
	char *s;

	(void)state;
	arena_init(&a, NULL);
	s = arena_dup(&a, span_of("abcdef", 3));
	assert_string_equal(s, "abc");
	assert_string_equal(arena_dup(&a, span_of(NULL, 0)), "");
	assert_string_equal(arena_strdup(&a, "x y"), "x y");
	assert_string_equal(arena_printf(&a, "%s-%d", "n", 42), "n-42");
	s = arena_printf(&a, "%05000d", 7);
	assert_int_equal(strlen(s), 5000);
	zeros = arena_zalloc(&a, 3000);
	for (unsigned i = 0; i < 3000; i++)
		assert_int_equal(zeros[i], 0);
	arena_fini(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_zero_bytes),
		cmocka_unit_test(test_large_keeps_chunk),
		cmocka_unit_test(test_cache),
		cmocka_unit_test(test_copies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
