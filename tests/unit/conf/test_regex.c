/* SPDX-License-Identifier: BSD-2-Clause */
/* Regular expressions: captures, errors, limits. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/error.h"
#include "conf/regex.h"

#define ROWS(rows) (sizeof(rows) / sizeof((rows)[0]))

static void
test_match(void **state)
{
	static const struct {
		const char *pattern, *subject;
		int want;
		const char *captures[3]; /* NULL = unset */
	} rows[] = {
		{ "^/a/([0-9]+)$", "/a/17", 1, { "/a/17", "17", NULL } },
		{ "^/a/([0-9]+)$", "/a/x", 0, { NULL, NULL, NULL } },
		{ "^/a/([0-9]+)$", "/a/17\n", 0, { NULL, NULL, NULL } },
		{ "b", "abc", 1, { "b", NULL, NULL } },
		{ "(x)?(b)", "b", 1, { "b", NULL, "b" } },
		{ "", "", 1, { "", NULL, NULL } },
		{ "(a)(b)(c)", "abc", 1, { "abc", "a", "b" } },
		{ "^.$", "\xc3\xa4", 0, { NULL, NULL, NULL } },
		{ "^..$", "\xc3\xa4", 1, { "\xc3\xa4", NULL, NULL } },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct span captures[3];
		struct conf_regex *re;
		struct arena a;
		struct error err;
		size_t offset;

		arena_init(&a, NULL);
		re = conf_regex_compile(&a, span_cstr(rows[i].pattern),
		    &offset, &err);
		assert_non_null(re);
		assert_string_equal(re->text, rows[i].pattern);
		assert_int_equal(conf_regex_match(re,
		    span_cstr(rows[i].subject), captures, 3), rows[i].want);
		for (size_t j = 0; j < 3 && rows[i].want == 1; j++) {
			if (rows[i].captures[j] == NULL)
				assert_null(captures[j].p);
			else
				assert_true(span_eq(captures[j],
				    span_cstr(rows[i].captures[j])));
		}
		conf_regex_free_all(re);
		arena_fini(&a);
	}
}

static void
test_count_of_captures(void **state)
{
	struct conf_regex *re;
	struct arena a;
	struct error err;
	size_t offset;

	(void)state;
	arena_init(&a, NULL);
	re = conf_regex_compile(&a, SPAN("(a)(?:b)(c(d))"), &offset, &err);
	assert_non_null(re);
	assert_int_equal(re->captures, 3);
	conf_regex_free_all(re);
	arena_fini(&a);
}

static void
test_errors_name_the_byte(void **state)
{
	static const struct {
		const char *pattern;
		size_t offset;
		const char *error;
	} rows[] = {
		{ "a(b", 3, "at byte 4 of the pattern: missing closing" },
		{ "*", 0, "at byte 1 of the pattern: quantifier" },
		{ "[z-a]", 3, "range out of order" },
		{ "(*UTF)a", 6, "byte" },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct arena a;
		struct error err = { "" };
		size_t offset = 99;

		arena_init(&a, NULL);
		assert_null(conf_regex_compile(&a, span_cstr(rows[i].pattern),
		    &offset, &err));
		if (offset != rows[i].offset ||
		    strstr(err.text, rows[i].error) == NULL)
			fail_msg("%s: %zu %s", rows[i].pattern, offset,
			    err.text);
		arena_fini(&a);
	}
}

/* Would take longer than the universe lasts. */
static void
test_catastrophic_pattern_ends(void **state)
{
	struct conf_regex *re;
	struct arena a;
	struct error err;
	size_t offset;

	(void)state;
	arena_init(&a, NULL);
	re = conf_regex_compile(&a, SPAN("^((a+)+)+$"), &offset, &err);
	assert_non_null(re);
	assert_int_equal(conf_regex_match(re,
	    SPAN("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"),
	    NULL, 0), -1);
	conf_regex_free_all(re);
	arena_fini(&a);
}

static void
test_too_long_a_pattern(void **state)
{
	static char pattern[CONF_REGEX_PATTERN_MAX + 1];
	struct arena a;
	struct error err = { "" };
	size_t offset;

	(void)state;
	memset(pattern, 'a', sizeof(pattern));
	arena_init(&a, NULL);
	assert_null(conf_regex_compile(&a,
	    span_of(pattern, sizeof(pattern)), &offset, &err));
	assert_non_null(strstr(err.text, "pattern"));
	arena_fini(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_match),
		cmocka_unit_test(test_count_of_captures),
		cmocka_unit_test(test_errors_name_the_byte),
		cmocka_unit_test(test_catastrophic_pattern_ends),
		cmocka_unit_test(test_too_long_a_pattern),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
