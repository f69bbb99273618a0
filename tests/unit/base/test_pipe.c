/* SPDX-License-Identifier: BSD-2-Clause */
/* Pipes: what goes in comes out, and every block comes back. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/entropy.h"
#include "base/pipe.h"

enum { LIMIT_BLOCKS = 8, TOTAL = 400000 };

static struct block_pool pool;

static int
setup(void **state)
{
	(void)state;
	block_pool_init(&pool, (size_t)LIMIT_BLOCKS * BLOCK_BYTES);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	if (pool.in_use != 0)
		return -1;
	block_pool_fini(&pool);
	return 0;
}

static char
byte_at(size_t i)
{
	return (char)(i * 31 + i / 251);
}

static void
test_through(void **state)
{
	static char piece[40000];
	struct pipe p;
	size_t in = 0, out = 0;

	(void)state;
	entropy_seed(5);
	pipe_init(&p);
	assert_int_equal(pipe_peek(&p).len, 0);
	while (out < TOTAL) {
		size_t len = (size_t)(entropy_fast() % sizeof(piece));
		struct span run;

		if (len > TOTAL - in)
			len = TOTAL - in;
		for (size_t i = 0; i < len; i++)
			piece[i] = byte_at(in + i);
		pipe_put(&p, &pool, span_of(piece, len));
		in += len;
		assert_int_equal(p.len, in - out);
		run = pipe_peek(&p);
		assert_true(run.len > 0);
		for (size_t i = 0; i < run.len; i++)
			assert_int_equal(run.p[i], byte_at(out + i));
		len = 1 + (size_t)(entropy_fast() % run.len);
		if (entropy_fast() % 4 == 0 || in == TOTAL)
			len = run.len;
		pipe_drop(&p, &pool, len);
		out += len;
	}
	assert_int_equal(p.len, 0);
	/* An empty pipe holds no block. */
	assert_int_equal(pool.in_use, 0);
	pipe_fini(&p, &pool);
}

static void
test_many_runs(void **state)
{
	static char bytes[3 * BLOCK_BYTES];
	struct span runs[8];
	struct pipe p;

	(void)state;
	pipe_init(&p);
	pipe_put(&p, &pool, span_of(bytes, sizeof(bytes)));
	assert_int_equal(pipe_peek_many(&p, runs, 8), 3);
	assert_int_equal(pipe_peek_many(&p, runs, 2), 2);
	assert_int_equal(runs[0].len, BLOCK_BYTES);
	pipe_drop(&p, &pool, BLOCK_BYTES + 5);
	assert_int_equal(pipe_peek_many(&p, runs, 8), 2);
	assert_int_equal(runs[0].len, BLOCK_BYTES - 5);
	pipe_fini(&p, &pool);
	assert_int_equal(p.len, 0);
}

/* Small pieces share a block; a byte is not worth 16 KB. */
static void
test_small_pieces(void **state)
{
	struct pipe p;

	(void)state;
	pipe_init(&p);
	for (unsigned i = 0; i < 1000; i++)
		pipe_put(&p, &pool, SPAN("x"));
	assert_int_equal(pool.in_use, 1);
	assert_int_equal(pipe_peek(&p).len, 1000);
	pipe_fini(&p, &pool);
}

static void
test_shared_block(void **state)
{
	struct block *b = block_get(&pool);
	struct span run;
	struct pipe p;

	(void)state;
	memcpy(b->data, "0123456789", 10);
	b->len = 10;
	pipe_init(&p);
	pipe_put_block(&p, &pool, b, span_of(b->data + 2, 5));
	pipe_put_block(&p, &pool, b, span_of(b->data + 2, 0));
	/* What is put behind must not change what the other owner sees. */
	pipe_put(&p, &pool, SPAN("zz"));
	assert_int_equal(b->len, 10);
	assert_memory_equal(b->data, "0123456789", 10);
	run = pipe_peek(&p);
	assert_int_equal(run.len, 5);
	assert_memory_equal(run.p, "23456", 5);
	pipe_drop(&p, &pool, 5);
	run = pipe_peek(&p);
	assert_memory_equal(run.p, "zz", 2);
	assert_int_equal(b->refs, 1);
	pipe_fini(&p, &pool);
	assert_int_equal(pool.in_use, 1);
	block_unref(&pool, &b);
	assert_null(b);
	block_unref(&pool, &b);
}

/* The last owner may fill up a block that it shares no more. */
static void
test_block_left_alone(void **state)
{
	struct block *b = block_get(&pool);
	struct pipe p;

	(void)state;
	memcpy(b->data, "ab", 2);
	b->len = 2;
	pipe_init(&p);
	pipe_put_block(&p, &pool, b, span_of(b->data, 2));
	block_unref(&pool, &b);
	pipe_put(&p, &pool, SPAN("cd"));
	assert_int_equal(pool.in_use, 1);
	assert_memory_equal(pipe_peek(&p).p, "abcd", 4);
	assert_int_equal(pipe_peek(&p).len, 4);
	pipe_fini(&p, &pool);
}

static void
test_limit(void **state)
{
	struct block *blocks[LIMIT_BLOCKS + 1];

	(void)state;
	for (unsigned i = 0; i < LIMIT_BLOCKS; i++) {
		assert_true(block_pool_has_room(&pool));
		blocks[i] = block_get(&pool);
	}
	assert_false(block_pool_has_room(&pool));
	assert_int_equal(pool.refusals, 1);
	/* What has been received finds a place all the same. */
	blocks[LIMIT_BLOCKS] = block_get(&pool);
	block_unref(&pool, &blocks[0]);
	assert_false(block_pool_has_room(&pool));
	block_unref(&pool, &blocks[1]);
	assert_true(block_pool_has_room(&pool));
	for (unsigned i = 2; i <= LIMIT_BLOCKS; i++)
		block_unref(&pool, &blocks[i]);
	assert_int_equal(pool.spare_count, LIMIT_BLOCKS + 1);
	block_pool_trim(&pool, 2);
	assert_int_equal(pool.spare_count, 2);
}

/* Reading leaves the bytes where they are, and may begin anew. */
static void
test_read(void **state)
{
	static const size_t steps[] = { 1, 7, BLOCK_BYTES, 40000, SIZE_MAX };
	static char bytes[3 * BLOCK_BYTES + 100];
	struct pipe p;

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = byte_at(i);
	pipe_init(&p);
	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		struct pipe_cursor at = { .is_begun = false };
		size_t done = 0;

		while (done < p.len) {
			struct span run = pipe_read(&p, &at, steps[i]);

			assert_true(run.len > 0 && run.len <= steps[i]);
			assert_memory_equal(run.p, bytes + done, run.len);
			done += run.len;
		}
		assert_int_equal(pipe_read(&p, &at, steps[i]).len, 0);
		assert_int_equal(pipe_read(&p, &at, steps[i]).len, 0);
		/* The first round was of an empty one. */
		if (p.len == 0)
			pipe_put(&p, &pool, span_of(bytes, sizeof(bytes)));
	}
	assert_int_equal(p.len, sizeof(bytes));
	pipe_drop(&p, &pool, 5);
	{
		struct pipe_cursor at = { .is_begun = false };

		assert_memory_equal(pipe_read(&p, &at, 9).p, bytes + 5, 9);
	}
	pipe_fini(&p, &pool);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_through, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_runs, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_small_pieces, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_shared_block, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_block_left_alone, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_read, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
