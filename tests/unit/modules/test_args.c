/* SPDX-License-Identifier: BSD-2-Clause */
/* Module rewrite: arguments of queries. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../../modules/rewrite/args.h"

static void
names_are_what_backends_understand(void **state)
{
	static const struct {
		const char *arg, *name;
		bool want;
	} cases[] = {
		{ "a=1", "a", true }, { "a", "a", true }, { "a=", "a", true },
		{ "ab=1", "a", false }, { "a=1", "ab", false },
		{ "%61=1", "a", true }, { "%61%62=1", "ab", true },
		{ "%6=1", "a", false }, { "%6", "%6", true },
		{ "%zz=1", "%zz", true }, { "a%3d=1", "a=", true },
		{ "a+b=1", "a b", true }, { "a%20b", "a b", true },
		{ "=1", "", true }, { "", "", true }, { "", "a", false },
		{ "%2B=1", "+", true }, { "A=1", "a", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		if (args_is_called(span_cstr(cases[i].arg),
		    span_cstr(cases[i].name)) != cases[i].want)
			fail_msg("%s %s", cases[i].arg, cases[i].name);
	}
}

static void
arguments_are_dropped(void **state)
{
	static const struct {
		const char *query, *name, *want;
	} cases[] = {
		{ "a=1&b=2&c=3", "b", "a=1&c=3" },
		{ "a=1&b=2&a=3", "a", "b=2" },
		{ "a=1", "a", "" },
		{ "a=1&%61=2", "a", "" },
		{ "utm_a=1&x=2&ut%6d_b&utmx", "utm_*", "x=2&utmx" },
		{ "a=1&b", "*", "" },
		{ "a=1&&b", "a", "&b" },
		{ "a=1&b&", "c", "a=1&b&" },
		{ "", "a", "" },
		{ "a=b=c&d", "a", "d" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const char *names[] = { cases[i].name };
		const struct conf_strings list = { names, 1 };
		char memory[100];
		struct str out;

		str_init(&out, memory, sizeof(memory));
		args_drop(&out, span_cstr(cases[i].query), &list);
		assert_string_equal(str_terminate(&out), cases[i].want);
	}
}

static void
values_are_escaped(void **state)
{
	char memory[100];
	struct str out;

	(void)state;
	str_init(&out, memory, sizeof(memory));
	args_add(&out, SPAN("a b"), SPAN("1&2=3/\xc3\xa4~\0#"));
	args_add(&out, SPAN("c"), SPAN(""));
	assert_string_equal(str_terminate(&out),
	    "a%20b=1%262%3D3%2F%C3%A4~%00%23&c=");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_what_backends_understand),
		cmocka_unit_test(arguments_are_dropped),
		cmocka_unit_test(values_are_escaped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
