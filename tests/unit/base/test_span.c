/* SPDX-License-Identifier: BSD-2-Clause */
/* Spans: comparing, cutting, numbers. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/span.h"

static void
test_compare(void **state)
{
	static const struct {
		const char *a, *b;
		int order;
		bool ieq;
	} rows[] = {
		{ "", "", 0, true },
		{ "a", "", 1, false },
		{ "", "a", -1, false },
		{ "abc", "abd", -1, false },
		{ "ab", "abc", -1, false },
		{ "Ab", "aB", -1, true },
		{ "\xe4", "\xc4", 1, false },
		{ "@", "`", -1, false },
		{ "[", "{", -1, false },
		{ "AZ", "az", -1, true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct span a = span_cstr(rows[i].a), b = span_cstr(rows[i].b);
		int order = span_cmp(a, b);

		assert_int_equal((order > 0) - (order < 0), rows[i].order);
		assert_int_equal(span_eq(a, b), rows[i].order == 0);
		assert_int_equal(span_ieq(a, b), rows[i].ieq);
	}
	assert_true(span_eq(span_of(NULL, 0), SPAN("")));
	assert_int_equal(span_cmp(span_of(NULL, 0), SPAN("")), 0);
}

static void
test_ends(void **state)
{
	(void)state;
	assert_true(span_starts(SPAN("abc"), SPAN("ab")));
	assert_true(span_starts(SPAN("abc"), SPAN("")));
	assert_true(span_starts(span_of(NULL, 0), SPAN("")));
	assert_false(span_starts(SPAN("abc"), SPAN("abcd")));
	assert_false(span_starts(SPAN("abc"), SPAN("Ab")));
	assert_true(span_ends_i(SPAN("www.Example.COM"), SPAN(".example.com")));
	assert_false(span_ends_i(SPAN("com"), SPAN(".com")));
}

static void
test_trim(void **state)
{
	(void)state;
	assert_true(span_eq(span_trim(SPAN(" \t a b\t ")), SPAN("a b")));
	assert_true(span_eq(span_trim(SPAN("a\n")), SPAN("a\n")));
	assert_int_equal(span_trim(SPAN(" \t ")).len, 0);
	assert_int_equal(span_trim(span_of(NULL, 0)).len, 0);
}

static void
test_items(void **state)
{
	static const struct {
		const char *input;
		const char *want[4];
	} rows[] = {
		{ "", { NULL } },
		{ " , ,\t", { NULL } },
		{ "a", { "a" } },
		{ "a,b", { "a", "b" } },
		{ " a b , ,c ,", { "a b", "c" } },
		{ "\"x,y\"", { "\"x", "y\"" } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct span rest = span_cstr(rows[i].input), item;
		size_t n = 0;

		while (span_next_item(&rest, &item)) {
			assert_non_null(rows[i].want[n]);
			assert_true(span_eq(item, span_cstr(rows[i].want[n])));
			n++;
		}
		assert_null(rows[i].want[n]);
	}
}

static void
test_u64(void **state)
{
	static const struct {
		const char *input;
		int status;
		uint64_t want;
	} rows[] = {
		{ "0", 0, 0 },
		{ "007", 0, 7 },
		{ "18446744073709551615", 0, UINT64_MAX },
		{ "18446744073709551616", -1, 0 },
		{ "18446744073709551620", -1, 0 },
		{ "99999999999999999999", -1, 0 },
		{ "", -1, 0 },
		{ "-1", -1, 0 },
		{ "+1", -1, 0 },
		{ " 1", -1, 0 },
		{ "1 ", -1, 0 },
		{ "1a", -1, 0 },
		{ "0x1", -1, 0 },
		{ "/", -1, 0 },
		{ ":", -1, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		uint64_t value = 12345;
		int status = span_u64(span_cstr(rows[i].input), &value);

		if (status != rows[i].status)
			fail_msg("\"%s\"", rows[i].input);
		assert_true(value == (status == 0 ? rows[i].want : 12345));
	}
	{
		uint64_t value;

		assert_int_equal(span_u64(span_of("1\0002", 3), &value), -1);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_compare),
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_trim),
		cmocka_unit_test(test_items),
		cmocka_unit_test(test_u64),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
