/* SPDX-License-Identifier: BSD-2-Clause */
/* Coders: what one encodes the other decodes, in pieces of any size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../modules/compress/coder.h"

enum { TEXT = 100000, ROOM = 1 << 20, LIVE = 8 };

static char text[TEXT], coded[ROOM], decoded[ROOM];

/* Words that compress, and bytes that do not. */
static void
make_text(void)
{
	uint32_t seed = 1;

	for (size_t i = 0; i < TEXT; i++) {
		seed = seed * 1664525 + 1013904223;
		text[i] = i % 1000 < 500 ? "weir "[i % 5] : (char)(seed >> 24);
	}
}

/* All of `from` in pieces through c; the length, or -1. */
static long
run(struct coder *c, const char *from, size_t len, size_t piece,
    enum coder_op each, char *to)
{
	size_t out_len = 0, at = 0;

	do {
		size_t n = len - at < piece ? len - at : piece;
		struct span in = span_of(from + at, n), out;
		enum coder_op op = at + n == len ? CODER_FINISH : each;
		bool has_more;

		at += n;
		do {
			if (coder_step(c, &in, op, &out, &has_more) != 0)
				return -1;
			assert_true(out_len + out.len <= ROOM);
			memcpy(to + out_len, out.p, out.len);
			out_len += out.len;
		} while (in.len > 0 || has_more);
	} while (at < len);
	return (long)out_len;
}

static void
round_trip_at(enum coder_kind kind, unsigned level, size_t len, size_t piece,
    enum coder_op op)
{
	struct coder *c = coder_new(kind, false, level, LIVE);
	long n, back;

	assert_non_null(c);
	n = run(c, text, len, piece, op, coded);
	coder_free(c);
	assert_true(n > 0);
	c = coder_new(kind, true, 0, LIVE);
	assert_non_null(c);
	back = run(c, coded, (size_t)n, piece, CODER_RUN, decoded);
	coder_free(c);
	assert_int_equal(back, (long)len);
	assert_memory_equal(decoded, text, len);
}

/* Levels of one coding may be done by several libraries. */
static void
round_trip(enum coder_kind kind, size_t len, size_t piece, enum coder_op op)
{
	for (unsigned level = 1; level <= 4; level++)
		round_trip_at(kind, level, len, piece, op);
}

static void
what_is_encoded_is_decoded(void **state)
{
	static const size_t lens[] = { 0, 1, 100, CODER_OUT_BYTES, TEXT };
	static const size_t pieces[] = { 1, 7, 4096, TEXT };

	(void)state;
	for (unsigned kind = 0; kind < CODER_KIND_COUNT; kind++) {
		if (!coder_is_built((enum coder_kind)kind))
			continue;
		for (size_t i = 0; i < 5; i++) {
			/* One byte at a time is slow with flushes. */
			for (size_t j = lens[i] > 20000 ? 2 : 0; j < 4; j++) {
				round_trip((enum coder_kind)kind, lens[i],
				    pieces[j], CODER_RUN);
				round_trip((enum coder_kind)kind, lens[i],
				    pieces[j], CODER_FLUSH);
			}
		}
	}
}

static void
a_flush_gives_all_that_was_fed(void **state)
{
	(void)state;
	for (unsigned kind = 0; kind < CODER_KIND_COUNT; kind++) {
		struct coder *c, *d;
		struct span in = SPAN("an event"), out, plain;
		bool has_more;

		if (!coder_is_built((enum coder_kind)kind))
			continue;
		c = coder_new((enum coder_kind)kind, false, 1, LIVE);
		d = coder_new((enum coder_kind)kind, true, 0, LIVE);
		assert_int_equal(coder_step(c, &in, CODER_FLUSH, &out,
		    &has_more), 0);
		assert_false(has_more);
		assert_int_equal(coder_step(d, &out, CODER_RUN, &plain,
		    &has_more), 0);
		assert_true(span_eq(plain, SPAN("an event")));
		/* A second one with nothing new makes next to nothing. */
		in = span_of("", 0);
		assert_int_equal(coder_step(c, &in, CODER_FLUSH, &out,
		    &has_more), 0);
		assert_true(out.len < 16 && !has_more);
		coder_free(c);
		coder_free(d);
	}
}

static void
what_breaks_off_is_refused(void **state)
{
	(void)state;
	for (unsigned kind = 0; kind < CODER_KIND_COUNT; kind++) {
		struct coder *c;
		long n;

		if (!coder_is_built((enum coder_kind)kind))
			continue;
		c = coder_new((enum coder_kind)kind, false, 1, LIVE);
		n = run(c, text, 2000, 2000, CODER_RUN, coded);
		coder_free(c);
		for (long cut = 1; cut < n; cut += 97) {
			c = coder_new((enum coder_kind)kind, true, 0, LIVE);
			assert_int_equal(run(c, coded, (size_t)cut, 64,
			    CODER_RUN, decoded), -1);
			coder_free(c);
		}
		c = coder_new((enum coder_kind)kind, true, 0, LIVE);
		assert_int_equal(run(c, "\x01no such coding\xff\xff", 17, 17,
		    CODER_RUN, decoded), -1);
		coder_free(c);
	}
}

static void
their_number_is_bounded(void **state)
{
	struct coder *c[2];

	(void)state;
	assert_int_equal(coder_live(), 0);
	c[0] = coder_new(CODER_GZIP, false, 1, 2);
	c[1] = coder_new(CODER_GZIP, false, 1, 2);
	assert_non_null(c[0]);
	assert_non_null(c[1]);
	assert_null(coder_new(CODER_GZIP, false, 1, 2));
	coder_free(c[0]);
	c[0] = coder_new(CODER_GZIP, false, 1, 2);
	assert_non_null(c[0]);
	coder_free(c[0]);
	coder_free(c[1]);
	coder_free(NULL);
	assert_int_equal(coder_live(), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_encoded_is_decoded),
		cmocka_unit_test(a_flush_gives_all_that_was_fed),
		cmocka_unit_test(what_breaks_off_is_refused),
		cmocka_unit_test(their_number_is_bounded),
	};

	make_text();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
