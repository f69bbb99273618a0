/* SPDX-License-Identifier: BSD-2-Clause */
/* Numbers: what they are, how wide, and what libconfig would make of them. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "conf/number.h"

#define ROWS(rows) (sizeof(rows) / sizeof((rows)[0]))

static void
test_integers(void **state)
{
	static const struct {
		const char *text;
		int64_t value;
		enum number_kind kind;
		bool wraps;
		int32_t wrapped;
	} rows[] = {
		{ "0", 0, NUMBER_INT, false, 0 },
		{ "-0", 0, NUMBER_INT, false, 0 },
		{ "+5", 5, NUMBER_INT, false, 5 },
		{ "007", 7, NUMBER_INT, false, 7 },
		{ "0x1F", 31, NUMBER_INT, false, 31 },
		{ "0XfL", 15, NUMBER_INT64, false, 15 },
		{ "5LL", 5, NUMBER_INT64, false, 5 },
		{ "2147483647", INT32_MAX, NUMBER_INT, false, INT32_MAX },
		{ "2147483648", 2147483648, NUMBER_INT, true, INT32_MIN },
		{ "-2147483648", INT32_MIN, NUMBER_INT, false, INT32_MIN },
		{ "-2147483649", -2147483649, NUMBER_INT, true, INT32_MAX },
		{ "5000000000", 5000000000, NUMBER_INT, true, 705032704 },
		{ "5000000000L", 5000000000, NUMBER_INT64, false, 705032704 },
		{ "0xffffffff", 4294967295, NUMBER_INT, true, -1 },
		{ "9223372036854775807L", INT64_MAX, NUMBER_INT64, false,
		  -1 },
		{ "-9223372036854775808L", INT64_MIN, NUMBER_INT64, false,
		  0 },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct number n;

		assert_true(number_parse(span_cstr(rows[i].text), &n));
		assert_int_equal(n.kind, rows[i].kind);
		assert_int_equal(n.integer, rows[i].value);
		assert_int_equal(n.wraps, rows[i].wraps);
		assert_int_equal(n.wrapped, rows[i].wrapped);
		assert_false(n.overflow);
	}
}

static void
test_overflow(void **state)
{
	static const char *const texts[] = {
		"9223372036854775808L", "-9223372036854775809L",
		"9223372036854775808", "99999999999999999999L",
		"18446744073709551616", "0x8000000000000000L",
		"0x10000000000000000", "1e999", "-1e999",
	};

	(void)state;
	for (size_t i = 0; i < ROWS(texts); i++) {
		struct number n;

		assert_true(number_parse(span_cstr(texts[i]), &n));
		assert_true(n.overflow);
		assert_false(n.wraps);
	}
}

static void
test_floats(void **state)
{
	static const struct {
		const char *text;
		double value;
	} rows[] = {
		{ "1.", 1 }, { ".5", 0.5 }, { "1.5", 1.5 }, { "-1.5", -1.5 },
		{ "1e5", 100000 }, { "1E+2", 100 }, { "25e-2", 0.25 },
		{ "1.e1", 10 }, { "+.5e0", 0.5 },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct number n;

		assert_true(number_parse(span_cstr(rows[i].text), &n));
		assert_int_equal(n.kind, NUMBER_FLOAT);
		assert_true(!(n.real < rows[i].value) &&
		    !(n.real > rows[i].value));
		assert_false(n.overflow);
	}
}

static void
test_what_is_none(void **state)
{
	static const char *const texts[] = {
		"", "-", "+", ".", "-.", "e5", "1e", "1e+", "1.5.2", "1.5e",
		"0x", "0xL", "0xg", "-0x5", "5l", "5LLL", "L", "-L", "12b",
		"1L5", "--5", "1-2", "0x1.5", "1.5L", "inf", "nan",
	};

	(void)state;
	for (size_t i = 0; i < ROWS(texts); i++) {
		struct number n;

		if (number_parse(span_cstr(texts[i]), &n))
			fail_msg("%s", texts[i]);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_integers),
		cmocka_unit_test(test_overflow),
		cmocka_unit_test(test_floats),
		cmocka_unit_test(test_what_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
